// The curves over the gait cycle: the current time of each side moves in every chart, and a click goes to the nearest
// frame at that percent of the cycle of the nearest curve's side.

addPanel(({ data, state, readArray }) => {
  const { curves } = data, readout = document.getElementById("curve-readout");
  const hint = readout ? readout.textContent : "";
  if (!curves) return;
  const [left, top, right, bottom] = curves.plot;
  const charts = [...document.querySelectorAll(".chart-box")].filter((box) => curves.charts[box.dataset.angle]).map(createChart);
  const inView = new Set();
  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const chart = charts.find((each) => each.box === target);
      if (isIntersecting) inView.add(chart);
      else inView.delete(chart);
    }
    moveAll();
  });
  for (const chart of charts) observer.observe(chart.box);

  /** Return the chart of a box: its curves, and the marks that move. */
  function createChart(box) {
    const data = curves.charts[box.dataset.angle], svg = box.querySelector("svg"), sides = {};
    const read = (reference) => (reference ? readArray(reference) : null);
    for (const [side, own] of Object.entries(data.sides)) {
      // They are no part of the picture, which need not be drawn anew.
      const line = element("div", { class: `now ${side}`, hidden: "" }), dot = element("div", { class: `now-value ${side}`, hidden: "" });
      box.append(line, dot);
      sides[side] = { joint: own.joint, line, dot, mean: read(own.mean), error: read(own.error), values: read(own.values) };
    }
    const chart = {
      box, svg, sides, title: data.title, low: Number(box.dataset.low), high: Number(box.dataset.high),
      normLow: read(data.norm_low), normHigh: read(data.norm_high),
    };
    chart.y = (degrees) => bottom - ((degrees - chart.low) / (chart.high - chart.low)) * (bottom - top);
    box.addEventListener("click", (event) => goTo(chart, event));
    box.addEventListener("pointermove", (event) => describe(chart, event));
    box.addEventListener("pointerleave", () => { readout.textContent = hint; });
    return chart;
  }

  /** Return the percent of the cycle of a side in a frame; NaN outside of all strides. */
  function percentOf(side, frame) {
    const stride = curves.strides[side].find(([start, end]) => frame >= start - 0.5 && frame < end - 0.5);
    return stride ? (100 * (frame - stride[0])) / (stride[1] - stride[0]) : NaN;
  }

  function moveAll() {
    const percents = { left: percentOf("left", state.frame), right: percentOf("right", state.frame) };
    for (const chart of inView) {
      const unit = chart.svg.clientWidth / chart.svg.viewBox.baseVal.width;
      for (const [side, own] of Object.entries(chart.sides)) {
        const percent = Math.max(percents[side], 0), value = own.values[state.frame], x = left + (percent / 100) * (right - left);
        own.line.hidden = !Number.isFinite(percent);
        own.dot.hidden = own.line.hidden || !Number.isFinite(value);
        own.line.style.transform = `translate(${unit * x}px, ${unit * top}px)`;
        own.line.style.height = `${unit * (bottom - top)}px`;
        own.dot.style.transform = `translate(${unit * x}px, ${unit * chart.y(value)}px)`;
      }
    }
  }

  /** Return the side whose mean curve is nearest to an event, and the percent there. */
  function nearest(chart, event) {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(chart.svg.getScreenCTM().inverse());
    const percent = Math.round(Math.min(Math.max(((point.x - left) / (right - left)) * 100, 0), 100));
    let side = null, least = Infinity;
    for (const [each, own] of Object.entries(chart.sides)) {
      const distance = Math.abs(chart.y(own.mean[percent]) - point.y);
      if (distance < least) [side, least] = [each, distance];
    }
    return { side: side || Object.keys(chart.sides)[0], percent };
  }

  function goTo(chart, event) {
    const { side, percent } = nearest(chart, event), all = curves.strides[side];
    const counted = all.filter((stride) => stride[2]), strides = counted.length ? counted : all;
    if (!strides.length) return;
    const frames = strides.map(([start, end]) => Math.round(start + (percent / 100) * (end - start)));
    const distance = (frame) => Math.abs(frame - state.frame);
    state.pause();
    state.seek(frames.reduce((best, frame) => (distance(frame) < distance(best) ? frame : best)));
    state.select(chart.sides[side].joint);
  }

  function describe(chart, event) {
    const { side, percent } = nearest(chart, event), own = chart.sides[side];
    const parts = [`${chart.title}, ${side}, ${percent} % of the cycle: ${formatNumber(own.mean[percent], 1)}°`];
    if (own.error) parts.push(`95 % error ± ${formatNumber(own.error[percent], 1)}°`);
    if (chart.normLow) parts.push(`norm ${formatNumber(chart.normLow[percent], 1)} to ${formatNumber(chart.normHigh[percent], 1)}°`);
    readout.textContent = parts.join(" · ");
  }

  state.addEventListener("frame", moveAll);
  state.addEventListener("select", () => {
    for (const chart of charts) {
      chart.box.classList.toggle("selected", Object.values(chart.sides).some((own) => own.joint === state.joint));
    }
  });
});
