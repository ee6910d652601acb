"use strict";
// Draws what the report's data says. Nothing is computed here that the tables of the page do not state.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const root = document.documentElement;
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const color = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();
const policyColor = (i) => color("policy-" + (i % 4));
const faded = (hex, alpha) => hex + Math.round(alpha * 255).toString(16).padStart(2, "0");
// Plotly reads tags in labels; names are foreign, so they may hold none.
const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const several = data.policies.length > 1;
const CONFIG = { displayModeBar: false, responsive: true };

function element(tag, text, attributes = {}) {
  const e = Object.assign(document.createElement(tag), attributes);
  e.textContent = text;
  return e;
}

function axis(title, more = {}) {
  return {
    title: { text: title, standoff: 8 }, gridcolor: color("line"), linecolor: color("line"), zeroline: false,
    tickcolor: color("line"), ...more,
  };
}

function layout(more = {}) {
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, dragmode: false,
    font: { family: "system-ui, sans-serif", size: 13, color: color("soft") },
    hoverlabel: { font: { family: "system-ui, sans-serif" } },
    margin: { l: 58, r: 14, t: 10, b: 44 }, ...more,
  };
}

/** A logarithmic axis with ticks at 1, 2 and 5, as people read it. */
function logarithmic() {
  const decades = [0.01, 0.1, 1, 10, 100, 1000, 10000];
  const tickvals = decades.flatMap((d) => [d, 2 * d, 5 * d]);
  return { type: "log", fixedrange: true, tickvals, ticktext: tickvals.map((v) => String(+v.toPrecision(3))) };
}

// ---- the flight on stage ------------------------------------------------------------------------------------

const STRIP_MARGIN = { l: 58, r: 14, t: 8, b: 26 };
const stage = { flight: data.flights[0], time: 0, playing: false, last: 0, moving: [] };
const duration = (flight) => (flight.reference[0].length - 1) * flight.dt_s;

/** Rotate a body vector into the world by the quaternion w x y z. */
function rotate([w, x, y, z], [a, b, c]) {
  const tx = 2 * (y * c - z * b), ty = 2 * (z * a - x * c), tz = 2 * (x * b - y * a);
  return [a + w * tx + y * tz - z * ty, b + w * ty + z * tx - x * tz, c + w * tz + x * ty - y * tx];
}

/** The vehicle as one broken line: two arms, four rotor discs, a nose. Motors as in the conventions. */
function wireframe(position, quaternion, arm) {
  const line = [[], [], []];
  const add = (point) => {
    const world = point ? rotate(quaternion, point) : null;
    for (let k = 0; k < 3; k++) line[k].push(world ? position[k] + world[k] : null);
  };
  const corners = [[arm, -arm, 0], [-arm, -arm, 0], [-arm, arm, 0], [arm, arm, 0]];
  for (const [i, j] of [[0, 2], [1, 3]]) { add(corners[i]); add(corners[j]); add(null); }
  add([0, 0, 0]); add([1.6 * arm, 0, 0]); add(null);
  for (const [cx, cy] of corners) {
    for (let s = 0; s <= 16; s++) {
      const angle = (2 * Math.PI * s) / 16;
      add([cx + 0.62 * arm * Math.cos(angle), cy + 0.62 * arm * Math.sin(angle), 0]);
    }
    add(null);
  }
  return line;
}

function bounds(flight) {
  const paths = [flight.reference, ...flight.flown.map((f) => f.position)];
  const range = [0, 1, 2].map((k) => {
    const values = paths.flatMap((path) => path[k].filter((v) => v !== null));
    return [Math.min(...values), Math.max(...values)];
  });
  const size = Math.max(0.5, ...range.map(([low, high]) => high - low));
  return { size, range: range.map(([low, high]) => {
    const middle = (low + high) / 2, half = Math.max((high - low) / 2, 0.22 * size) + 0.06 * size;
    return [middle - half, middle + half];
  }) };
}

function line3d(path, style, more = {}) {
  return { type: "scatter3d", mode: "lines", x: path[0], y: path[1], z: path[2], line: style, hoverinfo: "skip", ...more };
}

function drawScene() {
  const { flight } = stage;
  const { size, range } = bounds(flight);
  const floor = range[2][0];
  stage.arm = 0.035 * size;
  const traces = [];
  for (const f of flight.flown) {
    const shadow = [f.position[0], f.position[1], f.position[2].map((v) => (v === null ? null : floor))];
    traces.push(line3d(shadow, { color: color("line"), width: 3 }));
  }
  traces.push(line3d(flight.reference, { color: color("reference"), width: 3, dash: "dash" }));
  for (const f of flight.flown) traces.push(line3d(f.position, { color: policyColor(f.policy), width: 2 }, { opacity: 0.4 }));
  stage.moving = [];
  for (const f of flight.flown) {
    stage.moving.push(traces.length, traces.length + 1);
    traces.push(line3d([[], [], []], { color: policyColor(f.policy), width: 6 }));
    traces.push(line3d([[], [], []], { color: several ? policyColor(f.policy) : color("ink"), width: 5 }));
  }
  stage.moving.push(traces.length);
  traces.push({ type: "scatter3d", mode: "markers", x: [], y: [], z: [], hoverinfo: "skip",
    marker: { size: 5, color: color("reference"), symbol: "circle" } });
  const sceneAxis = (title, r) => ({
    title: { text: title }, range: r, autorange: false, gridcolor: color("line"), zeroline: false, showbackground: false,
    showspikes: false, nticks: 5, color: color("soft"),
  });
  const narrow = $("scene").clientWidth < 500 ? 1.2 : 1;
  const span = range.map(([low, high]) => high - low), longest = Math.max(...span);
  Plotly.react("scene", traces, layout({
    margin: { l: 0, r: 0, t: 0, b: 0 }, dragmode: "orbit", uirevision: "camera",
    scene: {
      xaxis: sceneAxis("x, m", range[0]), yaxis: sceneAxis("y, m", range[1]), zaxis: sceneAxis("z, m", range[2]),
      aspectmode: "manual", aspectratio: { x: span[0] / longest, y: span[1] / longest, z: span[2] / longest },
      camera: { eye: { x: -0.98 * narrow, y: -1.22 * narrow, z: 0.7 * narrow }, center: { x: 0, y: 0, z: -0.12 } },
    },
  }), CONFIG);
}

function strip(id, title, traces, more = {}) {
  const { flight } = stage;
  Plotly.react(id, traces, layout({
    margin: STRIP_MARGIN, hovermode: "x",
    xaxis: axis("", { range: [0, duration(flight)], fixedrange: true, ticksuffix: " s", nticks: 6 }),
    yaxis: axis(title, { fixedrange: true, rangemode: "tozero", nticks: 5, ...more }),
  }), CONFIG);
  const plot = $(id);
  if (!plot.querySelector(".cursor")) plot.append(element("div", "", { className: "cursor" }));
  if (!plot.dataset.seeks) {
    plot.dataset.seeks = "yes";
    plot.on("plotly_click", (event) => seek(event.points[0].x));
  }
}

function drawStrips() {
  const { flight } = stage;
  const time = flight.reference[0].map((_, i) => +(i * flight.dt_s).toFixed(4));
  const curves = (key) => flight.flown.map((f) => ({
    x: time, y: f[key], mode: "lines", line: { color: policyColor(f.policy), width: 1.8 },
    name: plain(data.policies[f.policy]), hovertemplate: "%{y:.3g}<extra></extra>",
  }));
  strip("strip-error", "error, mm", curves("error_mm"));
  strip("strip-tilt", "tilt, °", curves("tilt_deg"));
  const one = flight.flown[0];
  const motors = several
    ? flight.flown.map((f) => ({ x: time, y: f.motor[0].map((_, i) => Math.max(...f.motor.map((m) => m[i]))), mode: "lines",
        line: { color: policyColor(f.policy), width: 1.2 }, hovertemplate: "%{y:.2f}<extra></extra>" }))
    : one.motor.map((m, i) => ({ x: time, y: m, mode: "lines", line: { color: color("motor-" + i), width: 1 },
        hovertemplate: `M${i + 1} %{y:.2f}<extra></extra>` }));
  strip("strip-motor", several ? "top motor" : "motors", motors, { range: [-0.02, 1.02] });
}

function drawLegend() {
  const item = (text, stroke, dashed) => {
    const li = document.createElement("li"), i = document.createElement("i");
    i.style.borderTopColor = stroke;
    if (dashed) i.className = "dashed";
    li.append(i, text);
    return li;
  };
  const items = data.policies.map((name, i) => item(name, policyColor(i)));
  items.push(item("reference", color("reference"), true));
  if (!several) for (let i = 0; i < 4; i++) items.push(item(`M${i + 1}`, color("motor-" + i)));
  $("legend").replaceChildren(...items);
}

/** Put everything on stage at ``time`` seconds. */
function seek(time) {
  const { flight } = stage, total = duration(flight);
  stage.time = Math.min(Math.max(time, 0), total);
  const at = Math.min(Math.round(stage.time / flight.dt_s), flight.reference[0].length - 1);
  const tail = Math.max(0, at - Math.round(1 / flight.dt_s));
  const moves = { x: [], y: [], z: [] };
  const put = (path) => ["x", "y", "z"].forEach((name, k) => moves[name].push(path[k]));
  for (const f of flight.flown) {
    const position = f.position.map((p) => p[at]);
    put(f.position.map((p) => p.slice(tail, at + 1)));
    put(position[0] === null ? [[], [], []] : wireframe(position, f.quaternion.map((q) => q[at]), stage.arm));
  }
  put(flight.reference.map((p) => [p[at]]));
  Plotly.restyle("scene", moves, stage.moving);
  const share = stage.time / total;
  for (const cursor of document.querySelectorAll(".cursor")) {
    const width = cursor.parentElement.clientWidth - STRIP_MARGIN.l - STRIP_MARGIN.r;
    cursor.style.left = `${STRIP_MARGIN.l + share * width}px`;
  }
  $("scrub").value = Math.round(1000 * share);
  $("clock").textContent = `${stage.time.toFixed(2)} s`;
}

function play(on) {
  stage.playing = on;
  $("play").textContent = on ? "Pause" : "Play";
  if (!on) return;
  if (stage.time >= duration(stage.flight) - 1e-6) stage.time = 0;
  stage.last = performance.now();
  requestAnimationFrame(tick);
}

function tick(now) {
  if (!stage.playing) return;
  const elapsed = Math.max(0, now - stage.last) / 1000;
  if (elapsed > 0.02) {  // 50 frames a second are enough, and kind to a phone's battery
    stage.last = now;
    // A machine that draws slowly shows all of the flight, slowly.
    seek(stage.time + Math.min(elapsed, 0.1) * Number($("speed").value));
    if (stage.time >= duration(stage.flight)) return play(false);
  }
  requestAnimationFrame(tick);
}

/** Put a flight on stage, without drawing it. */
function call(id) {
  stage.flight = data.flights.find((f) => f.id === id);
  for (const button of document.querySelectorAll("[data-flight]")) {
    button.setAttribute("aria-pressed", String(button.dataset.flight === id));
  }
  $("about").textContent = stage.flight.about;
}

function choose(id) {
  call(id);
  drawScene();
  drawStrips();
  seek(0);
}

// ---- the other figures --------------------------------------------------------------------------------------

function drawEpisodes() {
  const band = [], share = [];
  for (const e of data.episodes) {
    const stroke = policyColor(e.policy), name = several ? plain(data.policies[e.policy]) + " " : "";
    band.push(
      { x: e.time_s, y: e.p5_mm, mode: "lines", line: { width: 0 }, hoverinfo: "skip" },
      { x: e.time_s, y: e.p95_mm, mode: "lines", line: { width: 0 }, fill: "tonexty", fillcolor: faded(stroke, 0.2),
        hovertemplate: `${name}95 %: %{y:.3g} mm<extra></extra>` },
      { x: e.time_s, y: e.median_mm, mode: "lines", line: { color: stroke, width: 2 },
        hovertemplate: `${name}median: %{y:.3g} mm<extra></extra>` },
      { x: e.time_s, y: e.worst_mm, mode: "lines", line: { color: stroke, width: 1, dash: "dot" },
        hovertemplate: `${name}worst: %{y:.3g} mm<extra></extra>` });
    share.push({ x: e.final_mm, y: e.final_mm.map((_, i) => (100 * (i + 1)) / e.episodes), mode: "lines",
      line: { color: stroke, width: 2, shape: "hv" }, hovertemplate: `${name}%{y:.1f} % within %{x:.3g} mm<extra></extra>` });
  }
  const log = logarithmic();
  Plotly.react("error-time", band, layout({
    xaxis: axis("time after the throw, s", { fixedrange: true }), yaxis: axis("error, mm", log),
  }), CONFIG);
  Plotly.react("error-share", share, layout({
    xaxis: axis("mean error of the last two seconds, mm", log),
    yaxis: axis("share of the episodes, %", { range: [0, 101], fixedrange: true }),
  }), CONFIG);
}

function drawMaps() {
  // All panels first: a figure takes its size when it is drawn.
  if (!$("map-0")) $("maps").append(...data.maps.map((_, k) => element("div", "", { id: `map-${k}`, className: "plot" })));
  data.maps.forEach((map, k) => {
    const id = `map-${k}`;
    const text = map.error_mm.map((row, i) => row.map((error, j) => cell(error, map.survival[i][j])));
    const shade = map.error_mm.map((row) => row.map((error) => (error === null ? 3 : Math.log10(Math.max(error, 0.1)))));
    const title = plain(map.title) + (several ? "<br>" + plain(data.policies[map.policy]) : "");
    Plotly.react(id, [{
      type: "heatmap", x: map.x.values, y: map.y.values, z: shade, text, texttemplate: "%{text}", xgap: 2, ygap: 2,
      textfont: { size: $(id).clientWidth < 420 ? 9 : 11 }, colorscale: [[0, color("map-low")], [0.5, color("map-middle")], [1, color("map-high")]], zmin: 0, zmax: 3, hoverinfo: "skip",
      colorbar: { thickness: 10, outlinewidth: 0, tickvals: [0, 1, 2, 3], ticktext: ["1 mm", "1 cm", "10 cm", "1 m"] },
    }], layout({
      title: { text: title, font: { size: 14, color: color("ink") }, x: 0, xanchor: "left" },
      margin: { l: 58, r: 14, t: several ? 56 : 36, b: 44 },
      xaxis: axis(map.x.label, { type: "category", fixedrange: true, showgrid: false }),
      yaxis: axis(map.y.label, { type: "category", fixedrange: true, showgrid: false }),
    }), CONFIG);
  });
}

/** What a cell says: the error, and the survival where it is not complete. */
function cell(error, survival) {
  if (error === null) return "lost";
  const size = error >= 100 ? `${(error / 10).toFixed(0)} cm` : error >= 10 ? `${error.toFixed(0)}` : error.toFixed(1);
  return survival < 1 ? `${size}<br>${(100 * survival).toFixed(0)} %` : size;
}

function drawLearning() {
  for (const [id, key, title] of [["curve-loss", "loss", "training loss"], ["curve-error", "error_mm", "error in training, mm"]]) {
    $(id).hidden = !data.learning.length;
    if ($(id).hidden) continue;
    const curves = data.learning.flatMap((c) => [
      { x: c.wall_s, y: c[key], mode: "lines", line: { color: faded(policyColor(c.policy), 0.35), width: 1 }, hoverinfo: "skip" },
      { x: c.wall_s, y: c[key + "_smooth"], mode: "lines", line: { color: policyColor(c.policy), width: 2.2 },
        hovertemplate: `${several ? plain(data.policies[c.policy]) + " " : ""}%{x:.2f} s: %{y:.3g}<extra></extra>` },
    ]);
    Plotly.react(id, curves, layout({
      xaxis: axis("wall time, s", { fixedrange: true, rangemode: "tozero" }),
      yaxis: axis(title, logarithmic()),
    }), CONFIG);
  }
}

// ---- the page -----------------------------------------------------------------------------------------------

function draw() {
  drawLegend();
  drawScene();
  drawStrips();
  drawEpisodes();
  drawMaps();
  drawLearning();
  seek(stage.time);
}

function setTheme(name) {
  root.dataset.theme = name;
  draw();
}

function flightButton(flight) {
  const button = element("button", flight.title, { type: "button", onclick: () => {
    play(false);
    choose(flight.id);
    $("flight").scrollIntoView({ block: "start" });
  } });
  button.dataset.flight = flight.id;
  button.setAttribute("aria-pressed", "false");
  return button;
}

for (const flight of data.flights) (flight.worst ? $("worst") : $("choose")).append(flightButton(flight));
$("play").onclick = () => play(!stage.playing);
$("scrub").oninput = (event) => { play(false); seek((event.target.value / 1000) * duration(stage.flight)); };
// Nothing in the scene answers to hovering. Plotly looks for points under the pointer all the same, and fails when the
// flight is changed meanwhile; so it does not hear of a pointer without a button.
for (const kind of ["mousemove", "mouseover", "mouseenter"]) {
  $("scene").addEventListener(kind, (event) => { if (!event.buttons) event.stopPropagation(); }, true);
}
$("theme").onclick = () => setTheme(root.dataset.theme === "dark" ? "light" : "dark");
dark.addEventListener("change", () => setTheme(dark.matches ? "dark" : "light"));
// Plotly's figures keep the size that they were drawn with: they are drawn anew for the paper, and afterwards for the screen.
window.addEventListener("beforeprint", () => {
  stage.screenTheme = root.dataset.theme;
  root.classList.add("paper");
  setTheme("light");
  for (const plot of document.querySelectorAll(".js-plotly-plot")) {
    Plotly.relayout(plot, { width: plot.clientWidth, height: plot.clientHeight });
  }
});
window.addEventListener("afterprint", () => {
  root.classList.remove("paper");
  for (const plot of document.querySelectorAll(".js-plotly-plot")) Plotly.relayout(plot, { width: null, height: null, autosize: true });
  setTheme(stage.screenTheme);
});
window.addEventListener("resize", () => seek(stage.time));
// The figure-eight says most at a glance; half a round in, the scene is not a vehicle at rest.
call((data.flights.find((f) => f.id === "figure-eight") ?? data.flights[0]).id);
stage.time = Math.min(4.5, duration(stage.flight) / 2);
setTheme(dark.matches ? "dark" : "light");
root.dataset.ready = "yes";
