// The page of settings: find a setting, count what was changed, and send only that. Without it everything works, by more scrolling.
"use strict";
(() => {
  const form = document.getElementById("settings-form");
  const text = document.getElementById("find-text");
  const differs = document.getElementById("find-differs");
  const count = document.getElementById("find-count");
  const changes = document.getElementById("change-count");
  const settings = [...form.querySelectorAll(".setting")].map((box) => ({ box, control: box.querySelector("input, select") }));

  const was = (control) => form.elements.namedItem(`was.${control.name}`);
  const isChanged = ({ box, control }) => box.hasAttribute("data-new") || !was(control) || was(control).value !== control.value.trim();

  const find = () => {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const { box, control } of settings) {
      const fits = words.every((word) => box.dataset.words.includes(word)) &&
        (!differs.checked || control.value.trim() !== box.dataset.proposal);
      box.hidden = !fits;
      shown += fits ? 1 : 0;
    }
    for (const group of form.querySelectorAll("fieldset")) {
      group.hidden = !group.querySelector(".setting:not([hidden])");
    }
    count.textContent = words.length || differs.checked ? `${shown} of ${settings.length} settings` : "";
  };

  const tell = () => {
    const changed = settings.filter(isChanged);
    for (const one of settings) one.box.toggleAttribute("data-changed", changed.includes(one));
    changes.textContent = changed.length ? `${changed.length} changed, not saved yet` : "nothing changed yet";
  };

  document.getElementById("find").hidden = false;
  text.addEventListener("input", find);
  differs.addEventListener("change", find);
  form.addEventListener("input", tell);
  form.addEventListener("submit", () => {
    for (const one of settings) one.control.disabled = !isChanged(one);
  });
  // Back from the next page the browser shows the form as it was left.
  window.addEventListener("pageshow", () => {
    for (const { control } of settings) control.disabled = false;
    tell();
  });
})();
