"use strict";
// Lines over time and the timeline of one inference, as SVG. All text goes in as text, never as markup.

const Charts = (() => {
  const NS = "http://www.w3.org/2000/svg";
  const LANES = [["robot", "robot compute"], ["uplink", "uplink"], ["server", "server compute"],
    ["downlink", "downlink"]];
  const GAP_S = 2;  // without points for so long, and much longer than between others, a line is interrupted

  function make(parent, name, attributes, text) {
    const element = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    parent.appendChild(element);
    return element;
  }

  // A round step that divides `limit` into about `count` parts.
  function step(limit, count) {
    const raw = limit / Math.max(1, count), power = Math.pow(10, Math.floor(Math.log10(raw)));
    return [1, 2, 5, 10].map(f => f * power).find(s => s >= raw) || raw;
  }

  function number(value) {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    return size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : value.toFixed(2);
  }

  // Busy times [start, stop], rising and apart.
  function merged(spans) {
    const out = [];
    for (const span of [...spans].sort((a, b) => a.start_s - b.start_s)) {
      const last = out[out.length - 1];
      if (last && span.start_s <= last[1]) last[1] = Math.max(last[1], span.stop_s);
      else out.push([span.start_s, span.stop_s]);
    }
    return out;
  }

  const total = intervals => intervals.reduce((sum, [start, stop]) => sum + stop - start, 0);

  function overlap(spans) {
    const computing = merged(spans.filter(s => s.lane === "robot" || s.lane === "server"));
    const travelling = merged(spans.filter(s => s.lane === "uplink" || s.lane === "downlink"));
    let sum = 0;
    for (const a of computing) for (const b of travelling) {
      sum += Math.max(0, Math.min(a[1], b[1]) - Math.max(a[0], b[0]));
    }
    return sum;
  }

  const end = spans => spans.reduce((latest, s) => Math.max(latest, s.stop_s), 0);

  function gantt(svg, frame) {
    const narrow = svg.clientWidth < 600;
    const width = Math.max(300, svg.clientWidth), left = narrow ? 62 : 112, right = 58, high = 19, gap = 18;
    const groups = [["measured", frame.spans], ["predicted", frame.predicted_spans]];
    const height = groups.length * (LANES.length * high + gap) + 22;  // always: the page is not to jump with every frame
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const limit = Math.max(1e-4, ...groups.map(g => end(g[1]))) * 1.02;
    const x = seconds => left + (width - left - right) * Math.max(0, seconds) / limit;
    const every = step(limit * 1e3, narrow ? 4 : 10);
    for (let ms = 0; ms <= limit * 1e3; ms += every) {
      make(svg, "line", {class: "grid", x1: x(ms / 1e3), x2: x(ms / 1e3), y1: 4, y2: height - 18});
      make(svg, "text", {class: "faint", x: x(ms / 1e3), y: height - 5, "text-anchor": "middle"},
        `${+ms.toFixed(3)}${ms === 0 ? " ms" : ""}`);
    }
    groups.forEach(([name, spans], group) => {
      const top = 12 + group * (LANES.length * high + gap);
      make(svg, "text", {class: "faint", x: left + 2, y: top}, title(name, spans, frame, narrow));
      if (!spans.length) return;
      LANES.forEach(([lane, words], row) => {
        const y = top + 4 + row * high, own = spans.filter(s => s.lane === lane);
        make(svg, "text", {x: left - 6, y: y + 12, "text-anchor": "end"}, narrow ? lane : words);
        for (const span of own) {
          const box = make(svg, "rect", {
            class: `span c-${lane} ${name}`, x: x(span.start_s), y: y + 1, height: high - 4,
            width: Math.max(0.8, x(span.stop_s) - x(span.start_s)), rx: 1.5});
          make(box, "title", {}, `${span.label}: ${number(span.start_s * 1e3)} to ${number(span.stop_s * 1e3)} ms`);
        }
        make(svg, "text", {class: "faint", x: width - right + 5, y: y + 12},
          own.length ? `${number(total(merged(own)) * 1e3)} ms` : "");
      });
      const stop = x(end(spans));
      make(svg, "line", {class: "end", x1: stop, x2: stop, y1: top + 2, y2: top + 2 + LANES.length * high});
    });
  }

  function title(name, spans, frame, narrow) {
    if (!spans.length) return `${name}: no timeline${name === "predicted" ? ", the robot was to compute alone" : ""}`;
    const found = `${name} ${number(end(spans) * 1e3)} ms`;
    // What earlier frames took corrects the sum, and not the single bars.
    const corrected = name === "predicted" && Math.abs(frame.predicted_s / end(spans) - 1) > 0.02;
    return !corrected ? found : `${found}, ${narrow ? "" : "from what earlier frames took "}corrected to ` +
      `${number(frame.predicted_s * 1e3)} ms`;
  }

  // series: [{name, style, points: [[t, y or null], ...], dashed, thin, steps, dots, value(y)}]; t: page's clock [s]; nothing: said when
  // there are no points.
  function lines(svg, legend, series, now, history, cursor, nothing) {
    const width = Math.max(260, svg.clientWidth), height = svg.clientHeight || 220;
    const left = 40, right = 8, top = 6, bottom = 20;
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    let highest = 0;
    for (const one of series) for (const [, y] of one.points) if (y !== null && y > highest) highest = y;
    const every = step(highest || 1, 4), limit = Math.max(every, Math.ceil(highest * 1.03 / every) * every);
    const x = t => left + (width - left - right) * (1 - (now - t) / history);
    const y = value => top + (height - top - bottom) * (1 - value / limit);
    if (!highest) {
      make(svg, "text", {class: "faint", x: (left + width - right) / 2, y: y(limit / 2), "text-anchor": "middle"},
        nothing);
    }
    for (let v = 0; v <= limit * 1.001; v += every) {
      make(svg, "line", {class: "grid", x1: left, x2: width - right, y1: y(v), y2: y(v)});
      if (!highest && v) continue;
      make(svg, "text", {class: "faint", x: left - 5, y: y(v) + 4, "text-anchor": "end"}, String(+v.toPrecision(4)));
    }
    const ticks = step(history, width < 420 ? 3 : 6);
    for (let ago = 0; ago <= history; ago += ticks) {
      make(svg, "text", {class: "faint", x: x(now - ago), y: height - 5,
        "text-anchor": ago === 0 ? "end" : "middle"}, ago === 0 ? "now" : `−${+ago.toPrecision(3)} s`);
    }
    const at = cursor === null ? null : now - (1 - (cursor * width - left) / (width - left - right)) * history;
    const shown = [];
    for (const one of series) {
      const inside = one.points.filter(p => p[0] >= now - history);
      if (one.dots) {
        for (const [t, value] of inside) {
          if (value !== null) make(svg, "circle", {class: one.style, cx: x(t), cy: y(value), r: 3.2});
        }
      } else {
        const d = path(inside, x, y, one.steps);
        if (d) make(svg, "path", {class: `${one.style}${one.dashed ? " dashed" : ""}${one.thin ? " thin" : ""}`, d});
      }
      shown.push([one, at === null ? inside[inside.length - 1] : nearest(inside, at)]);
    }
    if (at !== null) make(svg, "line", {class: "cursor", x1: x(at), x2: x(at), y1: top, y2: height - bottom});
    legend.replaceChildren(...shown.map(([one, point]) => {
      const item = document.createElement("span"), mark = document.createElement("i");
      mark.className = `${one.style}${one.dashed ? " dashed" : ""}${one.dots ? " dot" : ""}`;
      item.append(mark, `${one.name} ${one.dots ? one.points.length : number(point ? point[1] : null)}`);
      return item;
    }));
  }

  // Several points of one pixel column become their range: the path stays short however many there are.
  function path(points, x, y, steps) {
    let d = "", open = false, column = null, low = 0, high = 0, lastY = 0, before = null;
    const apart = points.slice(1).map((p, i) => p[0] - points[i][0]).sort((a, b) => a - b);
    const longest = Math.max(GAP_S, 5 * (apart[apart.length >> 1] || 0));
    const flush = () => {
      if (column !== null && low !== high) d += `V${high.toFixed(1)}V${low.toFixed(1)}V${lastY.toFixed(1)}`;
    };
    for (const [t, value] of points) {
      if (value === null || (before !== null && t - before > longest)) {
        flush();
        open = false;
        column = null;
      }
      before = t;
      if (value === null) continue;
      const px = x(t), py = y(value), now = Math.round(px * 2);
      if (open && now === column) {
        low = Math.min(low, py); high = Math.max(high, py); lastY = py;
        continue;
      }
      flush();
      if (!open) d += `M${px.toFixed(1)} ${py.toFixed(1)}`;
      else d += steps ? `H${px.toFixed(1)}V${py.toFixed(1)}` : `L${px.toFixed(1)} ${py.toFixed(1)}`;
      open = true; column = now; low = high = lastY = py;
    }
    flush();
    return d;
  }

  function nearest(points, t) {
    let best;
    for (const point of points) if (!best || Math.abs(point[0] - t) < Math.abs(best[0] - t)) best = point;
    return best;
  }

  return {gantt, lines, number, overlap, end};
})();
