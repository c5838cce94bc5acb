"""The style guide: every component of templates/components.html, shown and named. Served only where asked for."""

from flask import Blueprint, Response, make_response, render_template

from services.web import security

pages = Blueprint("styleguide", __name__)


@pages.get("/styleguide")
@security.require("look")
def show() -> Response:
    """Show every component, with examples that say what each is for."""
    return make_response(render_template("styleguide.html", page_url=lambda number: f"/styleguide?page={number}"))
