// The map as a table, for readers who do not see it; and the key of its colours.

const TABLE_COLUMNS = 8;

addPanel(({ data, state, readArray }) => {
  const place = document.getElementById("attribution-table"), key = document.getElementById("colour-key");
  if (!data.methods) return;

  function show() {
    const method = data.methods[state.method], values = readArray(method.values), count = data.joints.length;
    const probability = readArray(method.probability), explainable = readArray(method.explainable);
    const edges = Array.from({ length: TABLE_COLUMNS + 1 }, (_, k) => Math.round((k * data.num_frames) / TABLE_COLUMNS));
    const mean = (first, end, at) => {
      let sum = 0, known = 0;
      for (let frame = first; frame < end; frame++) {
        const value = at(frame);
        if (Number.isFinite(value)) [sum, known] = [sum + value, known + 1];
      }
      return known ? sum / known : NaN;
    };
    const spans = [[0, data.num_frames], ...edges.slice(1).map((end, k) => [edges[k], end])];
    const cell = (joint, [first, end]) => {
      const value = mean(first, end, (frame) => (explainable[frame * count + joint] ? values[frame * count + joint] * 1000 : NaN));
      return Number.isFinite(value) ? formatNumber(value, null, method.signed) : "not explained";
    };
    const heads = ["Joint", "Whole trial", ...spans.slice(1).map(([first, end]) => `${(first / data.rate_hz).toFixed(1)} to ${(end / data.rate_hz).toFixed(1)} s`)];
    const rows = [["P(sick)", ...spans.map(([first, end]) => formatNumber(mean(first, end, (frame) => probability[frame]), 2))]];
    for (const joint of data.head_to_feet) rows.push([method.parts[joint], ...spans.map((span) => cell(joint, span))]);
    place.replaceChildren(createTable(`Mean attribution per frame, ${method.unit}: ${method.title}`, heads, rows));
    showKey(method);
  }

  function showKey(method) {
    const { low, high, colours } = method.scale, bar = element("canvas", { width: 256, height: 1, "aria-hidden": "true" });
    const pen = bar.getContext("2d"), pixels = pen.createImageData(256, 1);
    for (let k = 0; k < 256; k++) {
      for (let part = 0; part < 3; part++) pixels.data[4 * k + part] = parseInt(colours.substr(6 * k + 2 * part, 2), 16);
      pixels.data[4 * k + 3] = 255;
    }
    pen.putImageData(pixels, 0, 0);
    const ends = method.signed ? ["evidence for healthy", "evidence for sick"] : ["little", "much attention, for either class"];
    key.replaceChildren(
      `${ends[0]} ${formatNumber(low * 1000, null, method.signed)} `, bar, ` ${formatNumber(high * 1000, null, method.signed)} ${ends[1]} (${method.unit})`,
    );
    const swatch = (colour, text) => {
      const box = element("span", { class: "swatch" });
      box.style.background = `rgb(${colour.join(", ")})`;
      key.append(box, ` ${text}`);
    };
    if (!readArray(method.probability).every(Number.isFinite)) swatch(method.scale.missing, "no network output");
    if (readArray(method.fades).some(Boolean)) {
      const middle = [0, 2, 4].map((part) => parseInt(colours.substr(6 * 128 + part, 2), 16));
      swatch(middle.map((part) => part + data.fading * (255 - part)), "paler: near an end, counts in no ranking and no mean");
    }
    const about = document.getElementById("method-text");
    const text = `${method.title} ${method.description}.`;
    about.textContent = state.method && method.faithfulness ? `${text} ${method.faithfulness}` : text;
  }

  state.addEventListener("method", show);
  show();
});
