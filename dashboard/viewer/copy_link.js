// Copies the page's address. Browsers lend the clipboard to https and localhost only; elsewhere a selected text is copied.
const SHOWN = 2000; // ms that the answer stays

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

/** Beside the button rather than in the page's body: a dialog would take the focus back from there. */
function copySelected(text, button) {
  const area = Object.assign(document.createElement("textarea"), { value: text, readOnly: true, className: "spoken" });
  button.after(area);
  area.select();
  let copied = false;
  try { copied = document.execCommand("copy"); } catch { /* then it was not */ }
  area.remove();
  button.focus({ preventScroll: true });
  return copied;
}
