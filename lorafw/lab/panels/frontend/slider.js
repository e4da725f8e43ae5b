// A slider with a number field beside it. Both have the description as their accessible name.

const SEND_DELAY_MS = 150;

function createInput(type, name) {
  const input = document.createElement("input");
  input.type = type;
  input.setAttribute("aria-label", name);
  return input;
}

function render({ model, el }) {
  const description = model.get("description");
  const label = document.createElement("span");
  label.className = "widget-label";
  label.textContent = description;
  label.setAttribute("aria-hidden", "true"); // the inputs have the same name
  const range = createInput("range", description);
  const number = createInput("number", `${description}: number`);
  el.classList.add("lorafw-slider");
  el.append(label, range, number);

  const showModel = () => {
    for (const input of [range, number]) {
      for (const name of ["min", "max", "step"]) input[name] = model.get(name);
      if (input !== document.activeElement) input.value = model.get("value");
    }
    number.removeAttribute("step"); // the slider moves in steps, but any whole number can be typed
  };

  let timer;
  const send = (value, delay) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      model.set("value", value);
      model.save_changes();
    }, delay);
  };

  range.addEventListener("input", () => {
    number.value = range.value;
    send(range.valueAsNumber, SEND_DELAY_MS);
  });
  number.addEventListener("input", () => {
    if (number.value === "" || !number.validity.valid) return;
    range.value = number.value;
    send(number.valueAsNumber, SEND_DELAY_MS);
  });
  number.addEventListener("change", () => {
    // A number that is out of range becomes the nearest one; an empty field shows the last value again.
    const typed = number.value === "" ? model.get("value") : Math.round(number.valueAsNumber);
    const value = Math.min(Math.max(typed, model.get("min")), model.get("max"));
    number.value = range.value = value;
    send(value, 0);
  });

  showModel();
  model.on("change", showModel);
  return () => {
    clearTimeout(timer);
    model.off("change", showModel);
  };
}

export default { render };
