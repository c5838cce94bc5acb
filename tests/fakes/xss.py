"""Texts that run as a script where a page puts them in as they are, and what is found on a page when one did.

Source: OWASP Cross-Site Scripting Filter Evasion Cheat Sheet, 2025; each payload calls `owned()`.
"""

from typing import Final

PAYLOADS: Final[tuple[str, ...]] = (
    "<script>owned(1)</script>",
    "<ScRiPt>owned(2)</sCrIpT>",
    "<script src=//127.0.0.1/owned.js></script>",
    "<script>owned(4)//",
    "</script><script>owned(5)</script>",
    "<img src=x onerror=owned(6)>",
    '"><img src=x onerror=owned(7)>',
    "'><img src=x onerror=owned(8)>",
    "<img src='javascript:owned(9)'>",
    "<img/src/onerror=owned(10)>",
    "<svg onload=owned(11)>",
    "<svg><script>owned(12)</script></svg>",
    "<svg><animate onbegin=owned(13) attributeName=x dur=1s>",
    "<svg><a xlink:href='javascript:owned(14)'><text y=20>x</text></a></svg>",
    "<body onload=owned(15)>",
    "<iframe src=javascript:owned(16)></iframe>",
    "<iframe srcdoc='<script>parent.owned(17)</script>'></iframe>",
    "<object data=javascript:owned(18)></object>",
    "<embed src=javascript:owned(19)>",
    "<a href=javascript:owned(20)>x</a>",
    "<a href='java\tscript:owned(21)'>x</a>",
    "<form action=javascript:owned(22)><button>x</button></form>",
    "<button formaction=javascript:owned(23)>x</button>",
    "<input autofocus onfocus=owned(24)>",
    '" autofocus onfocus="owned(25)',
    "' onmouseover='owned(26)",
    "<details open ontoggle=owned(27)>x</details>",
    "<video><source onerror=owned(28)></video>",
    "<audio src=x onerror=owned(29)>",
    "<marquee onstart=owned(30)>x</marquee>",
    "<math><mtext><table><mglyph><style><img src=x onerror=owned(31)>",
    "<style>@import'javascript:owned(32)';</style>",
    "<link rel=stylesheet href=javascript:owned(33)>",
    "<meta http-equiv=refresh content='0;url=javascript:owned(34)'>",
    "<base href='javascript:owned(35)//'>",
    "<template><script>owned(36)</script></template>",
    "--><script>owned(37)</script><!--",
    "]]><script>owned(38)</script>",
    "{{constructor.constructor('owned(39)')()}}<!--x-->",
    "&lt;script&gt;owned(40)&lt;/script&gt;<b onclick=owned(40)>x",
)
#: Run before every page: what a payload would call.
WATCH: Final = "window.isOwned = []; window.owned = which => window.isOwned.push(which);"
#: Elements and attributes of payloads that are in the page as such; no page of ours has any of them.
FOUND: Final = """() => {
    const elements = 'iframe, object, embed, base, marquee, math, video, audio, template, animate, style, '
        + 'meta[http-equiv=refresh], img[src=x], script:not([src]), script[src^="//"]';
    const events = [...document.querySelectorAll('*')].filter(
        one => one.getAttributeNames().some(name => name.startsWith('on')));
    const places = ['href', 'action', 'src', 'formaction'];
    const links = [...document.querySelectorAll(places.map(name => `[${name}]`).join())].filter(one =>
        places.some(name => /^\\s*j\\s*a\\s*v\\s*a\\s*script:/i.test(one.getAttribute(name) || '')));
    return [...window.isOwned.map(String),
        ...[...document.querySelectorAll(elements), ...events, ...links].map(one => one.outerHTML.slice(0, 200))];
}"""
