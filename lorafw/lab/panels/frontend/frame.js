// The frame of a panel: a key that is pressed in the panel does not reach the notebook around it, and the keyboard reaches
// everything that scrolls.

const IGNORED_BY_JUPYTERLAB = "data-lm-suppress-shortcuts";
const FOCUSABLE = { tabindex: "0", role: "group", "aria-label": "Table that scrolls sideways" };

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

/**
 * Let the keyboard reach the views that are wider than the panel. Arrow keys only scroll an element that has the focus.
 *
 * Returns a function that stops this.
 */
function makeScrollingViewsFocusable(panel) {
  const markViews = () => {
    for (const view of panel.querySelectorAll(".lorafw-view")) {
      const scrolls = view.scrollWidth > view.clientWidth;
      for (const [name, value] of Object.entries(FOCUSABLE)) {
        if (scrolls) view.setAttribute(name, value);
        else view.removeAttribute(name);
      }
    }
  };
  const afterResize = new ResizeObserver(markViews);
  const afterUpdate = new MutationObserver(markViews);
  afterResize.observe(panel);
  afterUpdate.observe(panel, { childList: true, subtree: true });
  markViews();
  return () => {
    afterResize.disconnect();
    afterUpdate.disconnect();
  };
}

function render({ el }) {
  let undo = () => {};
  let isDisposed = false;
  const attach = () => {
    if (isDisposed) return;
    const panel = el.closest(".lorafw-panel");
    if (panel) {
      const releaseKeys = keepKeysInside(panel);
      const stopMarking = makeScrollingViewsFocusable(panel);
      undo = () => {
        releaseKeys();
        stopMarking();
      };
    } else setTimeout(attach, 20); // the frame is drawn before it is put into its panel
  };
  attach();
  return () => {
    isDisposed = true;
    undo();
  };
}

export default { render };
