// Copies the page's address. The clipboard API needs https or localhost; elsewhere a selected text is copied.
const SHOWN = 2000; // ms for which "Copied" is shown

export default function ({ parentElement }) {
  const button = parentElement.querySelector("button"), spoken = parentElement.querySelector(".spoken");
  const done = button.querySelector(".done");
  button.onclick = async () => {
    const copied = await copy(window.location.href, button);
    done.textContent = spoken.textContent = copied ? "Copied" : "Copy it from the address bar";
    button.className = copied ? "copied" : "refused";
    clearTimeout(button.timer);
    button.timer = setTimeout(() => { button.className = spoken.textContent = ""; }, SHOWN);
  };
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copySelected(text, button);
  }
}

/** The text lies next to the button, not in the page's body: a dialog would take the focus back from there. */
function copySelected(text, button) {
  const area = Object.assign(document.createElement("textarea"), { value: text, readOnly: true, className: "spoken" });
  button.after(area);
  area.select();
  let copied = false;
  try { copied = document.execCommand("copy"); } catch { /* not copied */ }
  area.remove();
  button.focus({ preventScroll: true });
  return copied;
}
