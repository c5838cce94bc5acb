// Follow the system's colours when no choice is stored. Loaded in <head>, so the page never flashes.
"use strict";
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const follow = () => { document.documentElement.dataset.bsTheme = dark.matches ? "dark" : "light"; };
follow();
dark.addEventListener("change", follow);
