// The frame of a panel: a key that is pressed in the panel does not reach the notebook around it.

const IGNORED_BY_JUPYTERLAB = "data-lm-suppress-shortcuts";

/**
 * Keep plain keys in the panel. Shortcuts with Ctrl or Command still work, for example to save the notebook.
 *
 * The attribute is for JupyterLab's shortcuts, which are looked up before the panel gets the event. The notebook handles
 * arrow keys after the panel, so they must not get that far.
 *
 * Returns a function that undoes this.
 */
function keepKeysInside(panel) {
  const isShortcut = (event) => event.ctrlKey || event.metaKey;
  const beforeJupyterLab = (event) => panel.toggleAttribute(IGNORED_BY_JUPYTERLAB, !isShortcut(event));
  const afterControl = (event) => {
    if (!isShortcut(event)) event.stopPropagation();
  };
  panel.setAttribute(IGNORED_BY_JUPYTERLAB, "");
  window.addEventListener("keydown", beforeJupyterLab, true);
  panel.addEventListener("keydown", afterControl);
  return () => {
    window.removeEventListener("keydown", beforeJupyterLab, true);
    panel.removeEventListener("keydown", afterControl);
  };
}

function render({ el }) {
  let undo = () => {};
  let isDisposed = false;
  const attach = () => {
    if (isDisposed) return;
    const panel = el.closest(".lorafw-panel");
    if (panel) undo = keepKeysInside(panel);
    else setTimeout(attach, 20); // the frame is drawn before it is put into its panel
  };
  attach();
  return () => {
    isDisposed = true;
    undo();
  };
}

export default { render };
