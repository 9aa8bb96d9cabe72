"use strict";
// One websocket: JSON texts with a "kind", and pictures as a line of JSON followed by a JPEG.

const $ = id => document.getElementById(id);
const STALE_MS = 5000, OLD_PICTURE_MS = 3000, LONGEST_PAUSE_MS = 5000, MOST_POINTS = 20000;
const PAINTED = /(overlay|kapao_pose|top_view)$/;  // what robots' nodes paint, before anything else they publish

let socket = null, pause = 500, heard = 0;
let news = null, points = {}, details = {}, offset = 0;  // offset: node's clock minus ours [s]
let chosen = "", topic = "", asking = null, pictureUrl = null, pictureAt = 0, drawnFrame = null;
const cursors = {latency: null, bandwidth: null};

const clock = () => performance.now() / 1e3;

function text(tag, words, className) {
  const element = document.createElement(tag);
  element.textContent = words;
  if (className) element.className = className;
  return element;
}

function connection(words, className) {
  document.body.classList.toggle("lost", className === "bad");  // what is shown is old
  $("connection").textContent = words;
  $("connection").className = `pill ${className}`;
}

function connect() {
  socket = new WebSocket(`ws://${location.host}/live`);
  socket.binaryType = "arraybuffer";
  heard = performance.now();
  socket.onmessage = event => {
    heard = performance.now();
    pause = 500;
    connection("live", "good");
    if (typeof event.data === "string") receive(JSON.parse(event.data));
    else showPicture(event.data);
  };
  socket.onclose = event => {
    socket = null;
    asking = null;
    connection(event.reason ? `${event.reason}, trying again` : "disconnected, trying again", "bad");
    if (news) showStrategies();
    setTimeout(connect, pause);
    pause = Math.min(LONGEST_PAUSE_MS, pause * 2);
  };
  socket.onopen = () => { points = Object.create(null); details = Object.create(null); watch(); };
}

// Whether it was sent.
function send(message) {
  const isOpen = socket !== null && socket.readyState === WebSocket.OPEN;
  if (isOpen) socket.send(JSON.stringify(message));
  return isOpen;
}

// A page that nobody sees asks for nothing: a robot works only while somebody looks.
function watch() {
  send({watch: {robot: document.hidden ? "" : chosen, topic: document.hidden ? "" : topic}});
}

function receive(message) {
  if (message.kind === "news") {
    news = message;
    offset = message.now - clock();
    for (const [robot, found] of Object.entries(message.points)) addPoints(robot, found);
    showNews();
  } else if (message.kind === "details") {
    details[message.robot] = message;
    if (message.robot === chosen) showDetails();
  } else if (message.kind === "answer") {
    asking = null;
    showAnswer(message.accepted ? `${message.robot}: strategy ${message.strategy}` : message.reason,
      message.accepted ? "good" : "bad");
    showStrategies();
  } else if (message.kind === "picture_problem" && message.topic === topic) {
    noPicture(message.text);
  }
}

function addPoints(robot, found) {
  const known = points[robot] || (points[robot] = {frames: [], links: []});
  const oldest = news.now - news.history_s;
  for (const kind of ["frames", "links"]) {
    const all = known[kind].concat(found[kind]);
    known[kind] = all.filter(p => p[0] >= oldest).slice(-MOST_POINTS);
  }
}

function robotNow() {
  return news ? news.robots.find(r => r.name === chosen) : undefined;
}

function showNews() {
  if (!robotNow()) choose(news.robots.length ? news.robots[0].name : "");
  document.body.classList.toggle("empty", !news.robots.length);
  showRobots();
  showServers();
  showTopics();
  showPictureAge();
  showLast();
  showStrategies();
  showCharts();
}

function choose(robot) {
  if (robot === chosen) return;
  chosen = robot;
  drawnFrame = null;
  showAnswer("", "");
  noPicture("no picture yet");
  showTopics();
  showDetails();
  watch();
}

const STATES = {SPLIT: "good", LOCAL: "quiet", CONNECTING: "warn"};
const ms = seconds => seconds === null ? "" : (seconds * 1e3).toFixed(0);
const ago = seconds => seconds < 120 ? `${seconds.toFixed(0)} s` : `${(seconds / 60).toFixed(0)} min`;
const fixed = (value, digits) => value === null ? "" : value.toFixed(digits);

function showRobots() {
  const rows = [];
  for (const robot of news.robots) {
    const row = document.createElement("tr");
    row.className = `robot${robot.name === chosen ? " chosen" : ""}${robot.is_silent ? " silent" : ""}`;
    row.dataset.robot = robot.name;
    const name = document.createElement("td"), button = text("button", robot.name);
    button.setAttribute("aria-pressed", String(robot.name === chosen));
    name.append(button);
    const state = document.createElement("td"), said = robot.state || "?";
    const gone = robot.silent_s === null ? "silent" : `silent ${ago(robot.silent_s)}`;
    state.append(text("span", robot.is_silent ? gone : said, `pill ${robot.is_silent ? "bad" : STATES[said] || "warn"}`));
    const up = robot.link && robot.link.confidence > 0 ? robot.link.up : robot.bandwidth;
    row.append(name, state, text("td", robot.last ? robot.last.strategy : ""), text("td", fixed(robot.rate_hz, 1), "n"),
      text("td", ms(robot.latency_s), "n"), text("td", ms(robot.predicted_s), "n"),
      text("td", up ? (up / 1e6).toFixed(1) : robot.link || robot.frames ? "?" : "", "n"),
      text("td", robot.bytes_up === null ? "" : (robot.bytes_up / 1e3).toFixed(0), "n"),
      text("td", fixed(robot.energy_j, 2), "n"), text("td", robot.frames ? `${robot.taken}/${robot.frames}` : "", "n"),
      text("td", fixed(robot.load, 1), "n"),
      text("td", robot.frames ? robot.last.plan : "no frame in the last 10 s", robot.frames ? "plan" : "plan none"));
    rows.push(row);
    if (robot.level && robot.message) {
      const message = document.createElement("tr"), cell = text("td", robot.message);
      message.className = `message${robot.level > 1 ? " error" : ""}`;
      cell.colSpan = 12;
      message.append(cell);
      rows.push(message);
    }
  }
  const focused = document.activeElement && document.activeElement.closest("tr.robot");
  const back = focused ? focused.dataset.robot : null;
  const body = $("robots").tBodies[0];
  body.replaceChildren(...rows);
  if (back !== null) {
    const again = [...body.rows].find(row => row.dataset.robot === back);
    if (again) again.querySelector("button").focus();
  }
  $("robots").hidden = !news.robots.length;
  $("nobody").hidden = Boolean(news.robots.length);
}

function showServers() {
  $("servers").replaceChildren(...(news.servers.length ? news.servers.map(server => {
    const item = document.createElement("span"), gone = server.silent_s > 5;
    item.append(text("span", gone ? "silent" : server.level ? "problem" : "up",
      `pill ${gone || server.level > 1 ? "bad" : server.level ? "warn" : "good"}`),
    ` ${server.name} on ${server.device}: `,
    `${gone ? `silent for ${ago(server.silent_s)}, before: ` : ""}${server.message}`);
    return item;
  }) : [text("span", "no server yet")]));
}

function showTopics() {
  const robot = robotNow(), pictures = robot ? robot.pictures : [];
  if (!pictures.includes(topic)) {
    topic = pictures.find(name => PAINTED.test(name)) || pictures[0] || "";
    noPicture("no picture yet");
    watch();
  }
  if (!topic && robot) {
    noPicture(robot.is_silent ? `${robot.name} is silent` : `${robot.node || robot.name} publishes no pictures`);
  }
  const select = $("topic");
  if ([...select.options].map(o => o.value).join("\n") !== pictures.join("\n")) {
    select.replaceChildren(...pictures.map(name => text("option", name)));
  }
  select.value = topic;
  select.hidden = !pictures.length;
}

function showPicture(data) {
  const bytes = new Uint8Array(data), line = bytes.indexOf(10);
  const about = JSON.parse(new TextDecoder().decode(bytes.subarray(0, line)));
  if (about.topic !== topic) return;
  const url = URL.createObjectURL(new Blob([bytes.subarray(line + 1)], {type: "image/jpeg"})), before = pictureUrl;
  pictureUrl = url;
  pictureAt = performance.now();
  const image = $("picture");
  image.onload = () => { if (before) URL.revokeObjectURL(before); };
  image.src = url;
  image.alt = `${about.topic}, ${about.width} x ${about.height} pixels`;
  image.hidden = false;
  $("no-picture").hidden = true;
}

function noPicture(words) {
  $("picture").hidden = true;
  $("no-picture").hidden = false;
  $("no-picture").textContent = words;
}

// A camera that has stopped looks like one before which nothing moves.
function showPictureAge() {
  const age = performance.now() - pictureAt, isOld = !$("picture").hidden && age > OLD_PICTURE_MS;
  $("picture-age").textContent = isOld ? `${ago(age / 1e3)} old` : "";
  $("picture").classList.toggle("old", isOld);
}

function showLast() {
  const robot = robotNow(), last = robot && robot.last, entries = [];
  if (robot && robot.model) entries.push(["model", robot.model]);
  if (last) {
    const parts = Object.entries(last.parts).filter(part => part[1] >= 5e-5)
      .map(([name, seconds]) => `${name.replace("_", " ")} ${Charts.number(seconds * 1e3)}`);
    const why = last.reason ? `: ${last.reason}` : "";
    entries.push(["frame", `${last.frame}, ${last.outcome}${why}`], ["plan", last.plan],
      ["latency", `${Charts.number(last.latency * 1e3)} ms, of it inference ${Charts.number(last.inference * 1e3)} ms` +
        (last.predicted > 0 ? ` (expected ${Charts.number(last.predicted * 1e3)})` : "")],
      ["parts", `${parts.join(" · ")} ms`],
      ["sent, received", `${(last.bytes_up / 1e3).toFixed(1)} kB up, ${(last.bytes_down / 1e3).toFixed(1)} kB down`],
      ["energy", `${fixed(last.energy, 2)} J (${last.energy_source})`]);
    if (last.rel_error !== null && last.rel_error >= 0) {
      entries.push(["exactness", `relative error ${last.rel_error.toExponential(1)}`]);
    }
  }
  if (robot && robot.link && robot.link.confidence > 0) {
    entries.push(["link", `${(robot.link.up / 1e6).toFixed(1)} MB/s up, round trip ` +
      `${Charts.number(robot.link.rtt * 1e3)} ms (from ${robot.link.source}, ${fixed(robot.link.age, 1)} s old)`]);
  }
  const found = details[chosen];
  if (found && found.doing) entries.push(["doing", found.doing]);
  $("last").replaceChildren(...entries.flatMap(([name, value]) => [text("dt", name), text("dd", value)]));
}

function showStrategies() {
  const found = details[chosen], group = $("strategies"), ready = found && found.ready ? found.ready : {};
  const names = Object.keys(ready);
  if ([...group.children].map(b => b.dataset.strategy).join() !== names.join()) {
    group.replaceChildren(...names.map(name => {
      const button = text("button", name);
      button.dataset.strategy = name;
      button.addEventListener("click", () => change(name));
      return button;
    }));
  }
  for (const button of group.children) {
    const name = button.dataset.strategy;
    button.disabled = asking !== null || !news.allow_control || !socket;
    button.classList.toggle("unready", !ready[name]);
    button.title = ready[name] ? "" : "its plans are not made, or not at the server: until then frames run locally";
    button.setAttribute("aria-pressed", String(found.strategy === name));
  }
  $("unready").hidden = !names.some(name => !ready[name]);
  if (!names.length && found && found.problem) group.replaceChildren(text("span", found.problem, "note"));
  if (news && !news.allow_control && !$("answer").textContent) {
    showAnswer("not from this page: it was started without allow_control:=true", "");
  }
}

function change(strategy) {
  if (send({strategy: {robot: chosen, strategy}})) {
    asking = strategy;
    showAnswer(`asking ${chosen} for ${strategy} …`, "");
  } else {
    showAnswer("not connected", "bad");
  }
  showStrategies();
}

function showAnswer(words, className) {
  $("answer").textContent = words;
  $("answer").className = className;
}

function showDetails() {
  const found = details[chosen], frame = found && found.frame;
  if (news) showStrategies();
  $("gantt").toggleAttribute("hidden", !frame);
  if (!frame) {
    $("gantt-title").textContent = found ? found.problem || "no frame was answered yet" : "";
    drawnFrame = null;
    return;
  }
  const all = frame.spans, expected = frame.predicted_s > 0 ? `, expected ${ms(frame.predicted_s)} ms` : "";
  const overlap = Charts.overlap(all);
  $("gantt-title").textContent = `frame ${frame.frame}, ${frame.strategy}, ${frame.outcome}: ` +
    `${ms(frame.inference_s)} ms${expected}` +
    (overlap > 0 ? `; computing and transmitting overlap for ${ms(overlap)} ms` : "") +
    (found.problem ? ` – ${found.problem}` : "");
  const key = `${chosen} ${frame.frame} ${all.length} ${$("gantt").clientWidth}`;
  if (key !== drawnFrame) Charts.gantt($("gantt"), frame);
  drawnFrame = key;
}

function showCharts() {
  if (!news) return;
  const now = clock() + offset, known = points[chosen] || {frames: [], links: []};
  const frames = known.frames, links = known.links;
  Charts.lines($("latency"), $("latency-legend"), [
    {name: "in to out", style: "s-latency", thin: true, points: frames.map(f => [f[0], f[1]])},
    {name: "inference", style: "s-inference", points: frames.map(f => [f[0], f[2]])},
    {name: "expected", style: "s-predicted", dashed: true, points: frames.map(f => [f[0], f[3]])},
    {name: "taken over", style: "s-takeover", dots: true,
      points: frames.filter(f => f[4] === "takeover").map(f => [f[0], f[1]])},
  ], now, news.history_s, cursors.latency, "no frames");
  Charts.lines($("bandwidth"), $("bandwidth-legend"), [
    {name: "down", style: "s-down", thin: true, points: links.map(l => [l[0], l[2]])},
    {name: "up", style: "s-up", points: links.map(l => [l[0], l[1]])},
    {name: "planned for", style: "s-plan", dashed: true, steps: true,
      points: frames.map(f => [f[0], f[5] > 0 ? f[5] : null])},
  ], now, news.history_s, cursors.bandwidth, "nothing measured");
}

$("robots").addEventListener("click", event => {
  const row = event.target.closest("tr.robot");
  if (row) { choose(row.dataset.robot); showNews(); }
});
$("topic").addEventListener("change", () => { topic = $("topic").value; noPicture("no picture yet"); watch(); });
document.addEventListener("visibilitychange", watch);
for (const name of Object.keys(cursors)) {
  $(name).addEventListener("pointermove", event => {
    const box = $(name).getBoundingClientRect();
    cursors[name] = (event.clientX - box.left) / box.width;
    showCharts();
  });
  $(name).addEventListener("pointerleave", () => { cursors[name] = null; showCharts(); });
}
window.addEventListener("resize", () => { drawnFrame = null; showCharts(); showDetails(); });
// A connection that is dead without a word: the node tells something twice a second.
setInterval(() => { if (socket && performance.now() - heard > STALE_MS) socket.close(); }, 1000);
connect();
