// How a change looks: characters that flap to the new text, rows that move to their new place. Still for who wants that.

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS = "0123456789";
const FLAP_MS = 45;
const running = new WeakMap();

export const still = matchMedia("(prefers-reduced-motion: reduce)");

/** Set an element's text as a split-flap display does; says whether it differs. */
export function flap(element, text, { quietly = false } = {}) {
  const old = element.dataset.text ?? "";
  if (old === text) return false;
  element.dataset.text = text;
  clearInterval(running.get(element));
  if (quietly || still.matches) {
    element.textContent = text;
    return true;
  }
  let step = 0;
  const tick = () => {
    step += 1;
    let done = true;
    const length = Math.max(old.length, text.length);
    element.textContent = Array.from({ length }, (_, place) => {
      const from = old[place] ?? " ", to = text[place] ?? " ";
      if (from === to || step > 4 + place) return to;
      done = false;
      const drum = DIGITS.includes(to) ? DIGITS : LETTERS;
      return step < place ? from : drum[Math.floor(Math.random() * drum.length)];
    }).join("");
    if (!done) return;
    element.textContent = text;
    clearInterval(running.get(element));
  };
  running.set(element, setInterval(tick, FLAP_MS));
  tick();
  return true;
}

/** Let rows that `change()` moves slide from where they were. */
export function slide(rows, change) {
  const before = new Map(rows().map((row) => [row, row.getBoundingClientRect().top]));
  change();
  if (still.matches || document.hidden) return;
  for (const row of rows()) {
    const was = before.get(row), moved = was === undefined ? 0 : was - row.getBoundingClientRect().top;
    if (was === undefined && before.size) row.animate([{ opacity: 0 }, { opacity: 1 }], 500);
    else if (moved) {
      row.animate([{ transform: `translateY(${moved}px)` }, { transform: "none" }],
        { duration: 550, easing: "cubic-bezier(.2,.7,.2,1)" });
    }
  }
}

/** Light a row up for a moment. */
export function flash(row) {
  row.classList.remove("changed");
  void row.offsetWidth; // so that the animation begins anew
  row.classList.add("changed");
}
