// Everything over time on one axis: stance, the map of joints by time, P(sick), and the selected joint. A click goes to
// a time and, in the map, selects a joint; the arrow keys do the same.

const STRIP_ROWS = 5, PROBABILITY_ROWS = 6; // heights in rows of the map
const MAX_COLUMNS = 2048, HATCH_STEP_PX = 6;

addPanel(({ data, state, readArray }) => {
  const canvas = document.getElementById("time-map"), readout = document.getElementById("time-readout");
  const cursor = document.getElementById("time-now");
  const order = data.head_to_feet, frames = data.num_frames, count = data.joints.length;
  const duration = frames / data.rate_hz;
  const methods = (data.methods || []).map((method) => readMethod(method, data, readArray));
  const observed = data.joints_observed ? readArray(data.joints_observed) : null;
  const angles = {}; // "knee_flexion left" -> values over time, read when they are first shown
  let layout = null, asked = false, pointed = null;

  const method = () => methods[state.method];
  const explainable = (frame, joint) => {
    const mask = method() ? method().explainable : observed;
    return !mask || mask[frame * count + joint] > 0;
  };
  const value = (frame, joint) => method().values[frame * count + joint];
  const partName = (joint) => (method() ? method().data.parts[joint] : data.joints[joint]) || data.joints[joint];

  /** Return the angle that belongs to a joint: its title and its values over time; null if it is not observed. */
  function angleOf(joint) {
    if (!data.curves || joint < 0) return null;
    const [name, side] = data.curves.related[joint], chart = data.curves.charts[name];
    if (!chart || !chart.sides[side]) return null;
    const key = `${name} ${side}`;
    angles[key] = angles[key] || readArray(chart.sides[side].values);
    return { title: `${side} ${chart.title.toLowerCase()}, °`, values: angles[key] };
  }

  /** Return the heights of all strips for a width. */
  function measure(width) {
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const font = Math.max(0.75 * rem, 11), row = Math.ceil(1.16 * font);
    const pen = canvas.getContext("2d");
    pen.font = `${font}px system-ui, "DejaVu Sans", sans-serif`;
    const labels = order.map((joint) => pen.measureText(data.joints[joint]).width);
    const left = Math.ceil(Math.min(Math.max(...labels, pen.measureText("right stance").width), 0.4 * width)) + 8;
    const strips = [{ kind: "stance", height: 2 * row + 4 }, { kind: "map", height: count * row }];
    if (method()) strips.push({ kind: "probability", height: PROBABILITY_ROWS * row });
    if (method()) strips.push({ kind: "attribution", height: STRIP_ROWS * row, titled: true });
    if (data.curves) strips.push({ kind: "angle", height: STRIP_ROWS * row, titled: true });
    let top = Math.ceil(0.3 * font);
    for (const strip of strips) {
      if (strip.titled) top += Math.ceil(0.4 * font);
      strip.top = top;
      top += strip.height + row;
    }
    return { width, font, row, left, right: width - Math.ceil(0.6 * font), strips, bottom: top - row, height: top + Math.ceil(0.6 * font) };
  }

  const xOf = (frame) => layout.left + (frame / frames) * (layout.right - layout.left);
  const strip = (kind) => layout.strips.find((each) => each.kind === kind);
  const frameAt = (x) => Math.min(Math.max(Math.floor(((x - layout.left) / (layout.right - layout.left)) * frames), 0), frames - 1);

  /** Return the joint of the map at a height; -1 outside. */
  function jointAt(y) {
    const map = strip("map"), row = Math.floor((y - map.top) / layout.row);
    return row >= 0 && row < count ? order[row] : -1;
  }

  function render() {
    asked = false;
    const width = canvas.clientWidth;
    if (!width) return;
    layout = measure(width);
    const colours = pageColours(), pen = sharpCanvas(canvas, width, layout.height);
    pen.font = `${layout.font}px system-ui, "DejaVu Sans", sans-serif`;
    pen.textBaseline = "middle";
    drawStance(pen, colours);
    drawMap(pen, colours);
    if (method()) drawProbability(pen, colours);
    for (const [kind, curve] of [["attribution", attributionOf], ["angle", angleOf]]) {
      if (!strip(kind)) continue;
      if (state.joint < 0) drawEmpty(pen, colours, strip(kind), `${kind} of a joint: select one, on the body, in the map or at a curve`);
      else drawCurve(pen, colours, strip(kind), curve(state.joint));
    }
    drawTimes(pen, colours);
    showTime();
  }

  function attributionOf(joint) {
    const values = new Float32Array(frames);
    for (let frame = 0; frame < frames; frame++) values[frame] = value(frame, joint) * method().factor;
    return { title: `${partName(joint)}, ${method().data.unit}`, values };
  }

  function label(pen, text, y, colour) {
    pen.fillStyle = colour;
    pen.textAlign = "right";
    pen.fillText(text, layout.left - 6, y, layout.left - 8);
  }

  function drawStance(pen, colours) {
    const { top } = strip("stance");
    ["left", "right"].forEach((side, index) => {
      const y = top + index * (layout.row + 2), events = data.events[side];
      label(pen, `${side} stance`, y + layout.row / 2, colours.ink);
      for (const contact of events.initial_contacts_s) {
        const off = events.foot_offs_s.find((time) => time > contact) ?? duration;
        pen.fillStyle = colours[side];
        pen.globalAlpha = 0.7;
        pen.fillRect(xOf(contact * data.rate_hz), y + 2, xOf(off * data.rate_hz) - xOf(contact * data.rate_hz), layout.row - 4);
        pen.globalAlpha = 1;
        pen.fillRect(xOf(contact * data.rate_hz), y, 2, layout.row);
      }
    });
  }

  function drawMap(pen, colours) {
    const map = strip("map"), wide = layout.right - layout.left;
    if (method()) {
      pen.imageSmoothingEnabled = false;
      pen.drawImage(method().picture(), layout.left, map.top, wide, map.height);
    } else {
      pen.fillStyle = rgb(data.colours.unexplained, 0.35);
      pen.fillRect(layout.left, map.top, wide, map.height);
    }
    order.forEach((joint, row) => {
      label(pen, data.joints[joint], map.top + (row + 0.5) * layout.row, joint === state.joint ? colours.accent : colours.ink);
      for (const [first, end] of runs(frames, (frame) => !explainable(frame, joint))) {
        hatch(pen, xOf(first), map.top + row * layout.row, xOf(end) - xOf(first), layout.row);
      }
    });
    for (const each of data.activity) {
      if (each.what === "walking") continue;
      pen.fillStyle = rgb(data.colours.unexplained, 0.6);
      const [start, end] = [xOf(each.first), xOf(each.end)], { top, height } = strip("stance");
      pen.fillRect(start, top, end - start, height);
      if (pen.measureText(each.what).width < end - start) {
        pen.fillStyle = colours.ink;
        pen.textAlign = "center";
        pen.fillText(each.what, (start + end) / 2, top + height / 2);
      }
    }
    pen.strokeStyle = colours.faint;
    pen.lineWidth = 1;
    pen.strokeRect(layout.left - 0.5, map.top - 0.5, wide + 1, map.height + 1);
    const row = order.indexOf(state.joint);
    if (row >= 0) {
      pen.strokeStyle = rgb(data.colours.selected, 1);
      pen.lineWidth = 2;
      pen.strokeRect(layout.left, map.top + row * layout.row, wide, layout.row);
    }
  }

  /** Draw what is not observed, or not used by the network: lines on a pale ground, one grid for all rows. */
  function hatch(pen, x, y, width, height) {
    pen.save();
    pen.beginPath();
    pen.rect(x, y, width, height);
    pen.clip();
    pen.fillStyle = rgb(data.colours.unobserved, 1);
    pen.fillRect(x, y, width, height);
    pen.strokeStyle = rgb(data.colours.hatch, 1);
    pen.lineWidth = 1;
    pen.beginPath();
    for (let start = x - height - ((x + y) % HATCH_STEP_PX); start < x + width; start += HATCH_STEP_PX) {
      pen.moveTo(start, y + height);
      pen.lineTo(start + height, y);
    }
    pen.stroke();
    pen.restore();
  }

  function drawProbability(pen, colours) {
    const { top, height } = strip("probability"), y = (p) => top + (1 - p) * height, middle = y(0.5);
    label(pen, "P(sick) 1", y(1) + 0.4 * layout.font, colours.ink);
    label(pen, "0.5", middle, colours.muted);
    label(pen, "0", y(0) - 0.4 * layout.font, colours.ink);
    const points = averaged(method().probability, layout.right - layout.left);
    for (const [colour, bound] of [[colours.sick, Math.max], [colours.healthy, Math.min]]) {
      pen.fillStyle = colour;
      pen.globalAlpha = 0.4;
      for (const [first, end] of runs(points.length, (k) => Number.isFinite(points[k]))) {
        pen.beginPath();
        pen.moveTo(layout.left + first, middle);
        for (let k = first; k < end; k++) pen.lineTo(layout.left + k + 0.5, y(bound(points[k], 0.5)));
        pen.lineTo(layout.left + end, middle);
        pen.fill();
      }
      pen.globalAlpha = 1;
    }
    line(pen, colours.ink, points, y);
    pen.strokeStyle = colours.faint;
    pen.lineWidth = 1;
    for (const p of [0, 0.5, 1]) {
      pen.beginPath();
      pen.moveTo(layout.left, y(p));
      pen.lineTo(layout.right, y(p));
      pen.stroke();
    }
  }

  function drawEmpty(pen, colours, { top, height }, text) {
    pen.strokeStyle = colours.faint;
    pen.lineWidth = 1;
    pen.strokeRect(layout.left - 0.5, top - 0.5, layout.right - layout.left + 1, height + 1);
    pen.fillStyle = colours.muted;
    pen.textAlign = "left";
    pen.fillText(text, layout.left + 6, top + height / 2, layout.right - layout.left - 12);
  }

  function drawCurve(pen, colours, { top, height }, curve) {
    pen.fillStyle = colours.ink;
    pen.textAlign = "left";
    if (!curve || !curve.values.some(Number.isFinite)) {
      hatch(pen, layout.left, top, layout.right - layout.left, height);
      pen.fillText(`${curve ? curve.title : `angle of the ${data.joints[state.joint]}`}: not observed`, layout.left + 6, top + height / 2);
      return;
    }
    pen.fillText(curve.title, layout.left, top - 0.6 * layout.row);
    const points = averaged(curve.values, layout.right - layout.left), known = points.filter(Number.isFinite);
    let low = Math.min(...known), high = Math.max(...known);
    const margin = 0.05 * (high - low) || 1;
    [low, high] = [low - margin, high + margin];
    const y = (number) => top + ((high - number) / (high - low)) * height;
    const digits = high - low < 10 ? null : 0;
    label(pen, formatNumber(high - margin, digits), y(high) + 0.4 * layout.font, colours.muted);
    label(pen, formatNumber(low + margin, digits), y(low) - 0.4 * layout.font, colours.muted);
    pen.strokeStyle = colours.faint;
    pen.lineWidth = 1;
    pen.strokeRect(layout.left - 0.5, top - 0.5, layout.right - layout.left + 1, height + 1);
    if (low < 0 && high > 0) {
      pen.beginPath();
      pen.moveTo(layout.left, y(0));
      pen.lineTo(layout.right, y(0));
      pen.stroke();
    }
    line(pen, colours.ink, points, y);
  }

  function line(pen, colour, points, y) {
    pen.strokeStyle = colour;
    pen.lineWidth = 1.5;
    pen.lineJoin = "round";
    for (const [first, end] of runs(points.length, (k) => Number.isFinite(points[k]))) {
      pen.beginPath();
      for (let k = first; k < end; k++) pen.lineTo(layout.left + k + 0.5, y(points[k]));
      pen.stroke();
    }
  }

  function drawTimes(pen, colours) {
    const y = layout.bottom, wanted = (layout.right - layout.left) / (5 * layout.font);
    const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300].find((each) => duration / each <= wanted) || 600;
    pen.strokeStyle = pen.fillStyle = colours.muted;
    pen.lineWidth = 1;
    for (let k = 0; k * step <= duration + 1e-9; k++) {
      const x = xOf(k * step * data.rate_hz), text = `${Number((k * step).toFixed(2))} s`;
      pen.beginPath();
      pen.moveTo(x, y);
      pen.lineTo(x, y + 4);
      pen.stroke();
      const half = pen.measureText(text).width / 2;
      pen.textAlign = "center";
      pen.fillText(text, Math.min(x, layout.width - half - 1), y + 5 + 0.6 * layout.font);
    }
  }

  /** Move the line of the current time. It is no part of the canvas, which need not be drawn anew. */
  function showTime() {
    if (!layout) return;
    cursor.style.transform = `translateX(${xOf(state.frame + 0.5) - 1}px)`;
    cursor.style.top = `${layout.strips[0].top}px`;
    cursor.style.height = `${layout.bottom - layout.strips[0].top}px`;
    describe();
  }

  /** Return P(sick) in a frame, or from when on the network has an output. */
  function outputIn(frame) {
    const { probability } = method();
    if (Number.isFinite(probability[frame])) return `P(sick) at this time ${formatProbability(probability[frame])}`;
    const first = probability.findIndex(Number.isFinite);
    if (first > frame) return `no network output before ${(first / data.rate_hz).toFixed(2)} s`;
    const last = probability.reduce((found, each, k) => (Number.isFinite(each) ? k : found), -1);
    return last >= 0 && last < frame ? `no network output after ${(last / data.rate_hz).toFixed(2)} s` : "no network output at this time";
  }

  /** Return the words for a frame and a joint. */
  function words(frame, joint) {
    const parts = [`${(frame / data.rate_hz).toFixed(2)} s`];
    if (method()) parts.push(outputIn(frame));
    if (joint >= 0) {
      if (!explainable(frame, joint)) {
        parts.push(`${data.joints[joint]}: ${observed && !observed[frame * count + joint] ? "not observed" : "not used by the network"}`);
      } else if (method()) {
        const number = value(frame, joint) * method().factor;
        parts.push(`${partName(joint)}: ${Number.isFinite(number) ? `${formatNumber(number, null, method().data.signed)} (${method().data.unit})` : "not explained"}`);
      } else parts.push(data.joints[joint]);
      const angle = angleOf(joint);
      if (angle && Number.isFinite(angle.values[frame])) parts.push(`${angle.title.replace(", °", "")} ${formatNumber(angle.values[frame], 1)}°`);
    }
    return parts.join(" · ");
  }

  function describe() {
    if (!state.playing) {
      canvas.setAttribute("aria-valuenow", state.frame);
      canvas.setAttribute("aria-valuetext", words(state.frame, state.joint));
    }
    readout.textContent = pointed ? words(...pointed) : words(state.frame, state.joint);
  }

  function ask() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(render);
  }

  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const goTo = (event) => {
    const [x] = place(event);
    state.pause();
    state.seek(frameAt(x));
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const joint = jointAt(place(event)[1]);
    if (joint >= 0) state.select(joint);
    goTo(event);
    if (event.pointerType === "mouse") canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = place(event);
    if (event.buttons & 1) goTo(event);
    pointed = x >= layout.left && x <= layout.right ? [frameAt(x), jointAt(y)] : null;
    describe();
  });
  canvas.addEventListener("pointerleave", () => {
    pointed = null;
    describe();
  });
  canvas.addEventListener("keydown", (event) => {
    const far = event.shiftKey ? 10 : 1, row = order.indexOf(state.joint);
    const acts = {
      ArrowLeft: () => state.step(-far),
      ArrowRight: () => state.step(far),
      ArrowUp: () => state.select(order[row < 0 ? count - 1 : Math.max(row - 1, 0)]),
      ArrowDown: () => state.select(order[Math.min(row + 1, count - 1)]),
    };
    if (event.ctrlKey || event.altKey || event.metaKey || !acts[event.key]) return;
    acts[event.key]();
    event.preventDefault();
    event.stopPropagation();
  });

  canvas.setAttribute("aria-valuemin", 0);
  canvas.setAttribute("aria-valuemax", frames - 1);
  state.addEventListener("frame", showTime);
  state.addEventListener("play", showTime);
  for (const event of ["select", "method"]) {
    state.addEventListener(event, () => {
      describe();
      ask();
    });
  }
  whenLookChanges(ask);
  window.addEventListener("beforeprint", render);
  window.addEventListener("afterprint", ask);
  new ResizeObserver(ask).observe(canvas.parentElement);
  ask();
  state.describe = words; // for the live region
});

/** Read the arrays of a method. Values times `factor` are in its unit. */
function readMethod(method, data, readArray) {
  const count = data.joints.length, values = readArray(method.values), fades = readArray(method.fades);
  const colours = method.scale.colours;
  let picture = null;
  return {
    data: method,
    values,
    factor: 1000,
    explainable: readArray(method.explainable),
    probability: readArray(method.probability),
    /** The map as a picture, one pixel per joint and time; of long trials, the mean of several frames. */
    picture() {
      if (picture) return picture;
      const step = Math.ceil(data.num_frames / MAX_COLUMNS), columns = Math.ceil(data.num_frames / step);
      picture = element("canvas", { width: columns, height: count });
      const pen = picture.getContext("2d"), pixels = pen.createImageData(columns, count);
      const { low, high, missing } = method.scale;
      data.head_to_feet.forEach((joint, row) => {
        for (let column = 0; column < columns; column++) {
          let sum = 0, fade = 0, known = 0, last = column * step;
          for (; last < Math.min((column + 1) * step, data.num_frames); last++) {
            const at = last * count + joint;
            if (!Number.isFinite(values[at])) continue;
            sum += values[at];
            fade += fades[at];
            known += 1;
          }
          const index = 6 * Math.round(Math.min(Math.max((sum / known - low) / (high - low), 0), 1) * 255);
          const paleness = known ? (data.fading * fade) / known : 0;
          for (let part = 0; part < 3; part++) {
            const colour = known ? parseInt(colours.substr(index + 2 * part, 2), 16) : missing[part];
            pixels.data[4 * (row * columns + column) + part] = colour + paleness * (255 - colour);
          }
          pixels.data[4 * (row * columns + column) + 3] = 255;
        }
      });
      pen.putImageData(pixels, 0, 0);
      return picture;
    },
  };
}

/** Return the ranges [first, end) of indices for which a condition holds. */
function runs(count, holds) {
  const found = [];
  for (let k = 0; k < count; k++) {
    if (!holds(k)) continue;
    const first = k;
    while (k < count && holds(k)) k += 1;
    found.push([first, k]);
  }
  return found;
}

/** Return values averaged over the frames of each pixel, or repeated where there are fewer frames than pixels. */
function averaged(values, pixels) {
  const count = Math.max(Math.floor(pixels), 1), means = new Float32Array(count);
  for (let k = 0; k < count; k++) {
    const first = Math.floor((k * values.length) / count);
    const end = Math.max(Math.floor(((k + 1) * values.length) / count), first + 1);
    let sum = 0, known = 0;
    for (let i = first; i < end; i++) {
      if (!Number.isFinite(values[i])) continue;
      sum += values[i];
      known += 1;
    }
    means[k] = known ? sum / known : NaN;
  }
  return means;
}

function rgb(colour, opacity) {
  return `rgba(${colour.join(", ")}, ${opacity})`;
}
