// A grid of thumbnails: each button shows its part of one contact sheet; `choose` sends the pressed one's row to Python.
export default function ({ data, parentElement, setTriggerValue }) {
  const grid = parentElement.querySelector(".grid"), sheet = parentElement.querySelector(".sheet");
  const rule = `.image { background-image: url("${data.sheet}") }`; // our own base64 needs no escape
  if (sheet.textContent !== rule) sheet.textContent = rule;
  const first = !grid.dataset.rows;
  if (grid.dataset.rows !== data.rows.join()) {
    grid.dataset.rows = data.rows.join();
    grid.replaceChildren(...data.rows.map(thumbnail));
  }
  const sides = { wide: data.wide, tall: data.tall, across: data.across, down: Math.ceil(data.rows.length / data.across) };
  for (const [name, value] of Object.entries(sides)) grid.style.setProperty(`--${name}`, value);
  grid.style.maxHeight = data.height ? `${data.height}px` : "";
  grid.setAttribute("aria-label", data.rows.length === 1 ? "1 image" : `${data.rows.length} images`);
  grid.classList.toggle("bare", data.rows.length === 0);
  grid.classList.toggle("smooth", data.smooth);
  grid.classList.toggle("noted", data.notes.some(Boolean));
  grid.classList.toggle("chooses", data.chooses);

  const buttons = [...grid.children], selected = new Set(data.selected);
  buttons.forEach((button, index) => describe(button, index, data, selected));
  const chosen = buttons.find((button) => button.classList.contains("chosen"));
  if (!buttons.some((button) => button.tabIndex === 0)) rove(buttons, chosen ?? buttons[0]);
  if (first && chosen) grid.scrollTop = chosen.offsetTop - grid.clientHeight / 2;

  grid.onclick = ({ target }) => {
    const button = target.closest("button");
    if (!button || !data.chooses) return;
    rove(buttons, button);
    button.focus({ preventScroll: true }); // some browsers do not focus it, and arrow keys would fail
    setTriggerValue("choose", { row: Number(button.dataset.row) });
  };
  grid.onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const next = reached(event.key, buttons, buttons.indexOf(event.target.closest("button")));
    if (!next) return;
    event.preventDefault();
    event.stopPropagation(); // the page has its own keys
    rove(buttons, next);
    next.focus();
  };
}

function thumbnail(row) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.row = row;
  button.tabIndex = -1;
  for (const name of ["image", "mark", "note"]) button.append(Object.assign(document.createElement("span"), { className: name }));
  return button;
}

function describe(button, index, data, selected) {
  const row = data.rows[index], mark = data.marks[row] ?? "", [image, letter, note] = button.children;
  const label = data.labels[index] ?? "", said = data.notes[index] ?? "", chosen = selected.has(row) || mark !== "";
  const name = [label, `image ${row}`, said, mark].filter(Boolean).join(", ");
  button.setAttribute("aria-label", name);
  button.setAttribute("aria-pressed", chosen);
  button.setAttribute("aria-disabled", !data.chooses);
  button.title = name;
  button.classList.toggle("chosen", chosen);
  image.style.setProperty("--column", index % data.across);
  image.style.setProperty("--line", Math.floor(index / data.across));
  image.style.setProperty("--frame", data.frames[index] || "transparent");
  letter.textContent = mark;
  note.textContent = said;
  note.classList.toggle("amiss", label !== "" && said !== label);
}

/** Make this the one button that Tab reaches; arrow keys move on from it. */
function rove(buttons, to) {
  for (const button of buttons) button.tabIndex = button === to ? 0 : -1;
}

/** The button that a key moves to, if any. */
function reached(key, buttons, at) {
  const across = buttons.filter((button) => button.offsetTop === buttons[0].offsetTop).length;
  const to = {
    ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - across, ArrowDown: at + across, Home: 0, End: buttons.length - 1,
  }[key];
  return at < 0 ? undefined : buttons[to];
}
