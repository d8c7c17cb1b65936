// GiftPulse console. Every page works without this file; it makes plots answer, forms preview, parts refresh.
const all = (what, within = document) => [...within.querySelectorAll(what)];

// Plots: the nearest bucket answers to pointer and arrow keys; a drag takes the span.
function livePlot(figure) {
  const sky = figure.querySelector(".sky"), hits = all(".hit", sky);
  if (!hits.length) return;
  const readout = Object.assign(document.createElement("output"), { className: "readout", hidden: true });
  figure.append(readout);
  let on = -1, from = null, brush = null;
  const at = (event) => {
    const box = sky.getBoundingClientRect();
    return Math.max(0, Math.min(hits.length - 1, Math.floor((event.clientX - box.left) / box.width * hits.length)));
  };
  function show(number) {
    hits[on]?.classList.remove("on");
    on = number;
    readout.hidden = number < 0;
    if (number < 0) return;
    hits[number].classList.add("on");
    readout.textContent = hits[number].querySelector("title").textContent;
    const share = (number + .5) / hits.length, room = sky.clientWidth - readout.offsetWidth;
    readout.style.left = Math.max(0, Math.min(room, share * sky.clientWidth - readout.offsetWidth / 2)) + "px";
  }
  const open = (number) => { location.href = hits[number].parentNode.getAttribute("href"); };
  sky.addEventListener("pointermove", (event) => {
    show(at(event));
    if (from === null || Math.abs(at(event) - from) < 1) return;
    if (!brush) { brush = document.createElementNS("http://www.w3.org/2000/svg", "rect"); brush.setAttribute("class", "brush"); brush.setAttribute("height", "100%"); sky.append(brush); }
    const [low, high] = [from, at(event)].sort((a, b) => a - b);
    brush.setAttribute("x", 100 * low / hits.length + "%"); brush.setAttribute("width", 100 * (high - low + 1) / hits.length + "%");
  });
  sky.addEventListener("pointerdown", (event) => { if (event.pointerType === "mouse" && event.button === 0) from = at(event); });
  addEventListener("pointerup", () => {
    if (brush) {
      const share = parseFloat(brush.getAttribute("x")), wide = parseFloat(brush.getAttribute("width"));
      const low = Math.round(share * hits.length / 100), high = Math.min(hits.length - 1, Math.round((share + wide) * hits.length / 100));
      const address = new URL(hits[low].parentNode.getAttribute("href"), location);
      address.searchParams.set("until", new URL(hits[high].parentNode.getAttribute("href"), location).searchParams.get("until"));
      location.href = address;
    }
    from = null;
  });
  sky.addEventListener("click", (event) => { if (brush) { event.preventDefault(); brush.remove(); brush = null; } }, true);
  sky.addEventListener("dragstart", (event) => event.preventDefault());
  sky.addEventListener("pointerleave", () => show(-1));
  figure.tabIndex = 0;
  figure.addEventListener("keydown", (event) => {
    if (event.target !== figure) return;
    const step = { ArrowRight: 1, ArrowLeft: -1, PageDown: 10, PageUp: -10 }[event.key];
    if (step) { event.preventDefault(); show(Math.max(0, Math.min(hits.length - 1, on < 0 ? hits.length - 1 : on + step))); }
    else if (event.key === "Enter" && on >= 0) open(on);
    else if (event.key === "Escape") show(-1);
  });
  figure.addEventListener("blur", () => show(-1));
}

// "As a table": a plot's buckets as rows, made when it is opened; without script the page itself has the tables.
function makeTable(details) {
  const names = details.dataset.columns.split("|"), table = document.createElement("table"), body = table.createTBody();
  const cell = (row, kind, text, number) => row.appendChild(Object.assign(document.createElement(kind), { textContent: text, className: number ? "num" : "" }));
  const head = table.createTHead().insertRow();
  ["Time", ...names].forEach((name, number) => { cell(head, "th", name, number).scope = "col"; });
  for (const hit of all(".hit", details.closest("figure"))) {
    const [time, ...values] = hit.textContent.split(" · "), row = body.insertRow();
    const link = cell(row, "td", "").appendChild(document.createElement("a"));
    link.href = hit.parentNode.getAttribute("href"); link.textContent = time;
    values.forEach((value, number) => cell(row, "td", value.slice(0, -names[number].length - 1), true));
  }
  details.lastElementChild.replaceChildren(table);
}

// Forms with data-preview send what is typed to the parts that show it; only the newest answer counts.
function livePreview(form) {
  const parts = all("[data-part]", form);
  let timer, running;
  async function ask(part, signal) {
    const slow = setTimeout(() => part.classList.add("slow"), 1000);
    part.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(form.dataset.preview, { method: "POST", body: new URLSearchParams(new FormData(form)), signal, headers: { "X-Fragment": part.id } });
      if (answer.status === 401) part.textContent = "You are signed out. Sign in in another tab, then go on here.";
      else if (answer.ok) { part.innerHTML = await answer.text(); liven(part); }
    } catch (error) {
      if (error.name === "AbortError") return;
      part.textContent = "This server does not answer.";
    } finally { clearTimeout(slow); }
    part.classList.remove("slow");
    part.removeAttribute("aria-busy");
  }
  function askAll() {
    running?.abort();
    running = new AbortController();
    parts.forEach((part) => ask(part, running.signal));
  }
  form.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(askAll, 300); });
  form.addEventListener("submit", (event) => { if (event.submitter?.formAction.includes(form.dataset.preview)) { event.preventDefault(); askAll(); } });
  form.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit(); });
  if (!form.querySelector("[data-ready]")) askAll();
}

// Where the session ends, the page leads to the sign-in; a form that was typed in stays, for it can be sent all the same.
let typed;
document.addEventListener("input", ({ target }) => { if (target.form?.method === "post") typed = target.form; });
function signedOut() {
  if (!typed) location.reload();
  else if (!typed.querySelector(".note.warn")) typed.prepend(Object.assign(document.createElement("p"), { className: "note warn", role: "alert", textContent: "You are signed out. Go on typing, and sign in when you send this: nothing is lost but secrets." }));
}

// Parts with data-live="seconds" and an id refresh themselves while the page is seen; a failure is said, not hidden.
function livePart(part) {
  const seconds = Number(part.dataset.live);
  if (!part.id || !seconds) return;
  let tag = "", read = new Date();
  setInterval(async () => {
    if (document.hidden || part.contains(document.activeElement) || part.querySelector("details.menu[open], :checked")) return;
    try {
      const answer = await fetch(document.body.dataset.from || location.href, { headers: { "X-Fragment": part.id, ...(tag && { "If-None-Match": tag }) } });
      if (answer.status === 401) return signedOut();
      if (answer.ok) { tag = answer.headers.get("ETag") ?? ""; part.innerHTML = await answer.text(); liven(part); showOpen(); }
      part.classList.remove("stale");
      read = new Date();
    } catch {
      part.dataset.stale = `Not refreshed since ${read.toTimeString().slice(0, 5)}: no connection to this server.`;
      part.classList.add("stale");
    }
  }, seconds * 1000);
}

// Parts with data-load are slow to count: the page stands, and they are asked for one after another, data-last at the end.
async function loadParts(parts) {
  for (const part of parts.sort((a, b) => ("last" in a.dataset) - ("last" in b.dataset))) {
    part.classList.add("slow");
    part.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(part.dataset.load, { headers: { "X-Fragment": part.dataset.fragment } });
      if (answer.status === 401) return signedOut();
      if (answer.ok) { part.innerHTML = await answer.text(); liven(part); }
      // What was counted is chosen; nobody installs a rule unseen.
      for (const box of all("[data-tick]", part.parentElement)) box.checked ||= part.querySelector(".strip");
    } catch { part.classList.add("stale"); }
    part.classList.remove("slow");
    part.removeAttribute("aria-busy");
  }
}

// "Older" appends the next page to the list; without the list it is an ordinary link.
async function appendOlder(event) {
  const list = document.querySelector("main .card.flush > ul"), nav = event.currentTarget.closest("nav");
  if (!list || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  nav.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(event.currentTarget.href);
    if (answer.redirected || !answer.ok) return location.reload();
    const page = new DOMParser().parseFromString(await answer.text(), "text/html"), first = list.children.length;
    list.append(...page.querySelector("main .card.flush > ul")?.children ?? []);
    nav.replaceChildren(...page.querySelectorAll("nav [rel=next]"));
    liven(nav);
    list.children[first]?.querySelector("a")?.focus();
  } catch { nav.dataset.stale = "This server does not answer."; nav.classList.add("stale"); }
  nav.removeAttribute("aria-busy");
}

// Open alerts redden the tab's title and icon, and the counts of the menus, without a reload.
function showOpen() {
  const open = Number(document.getElementById("open-count")?.value ?? 0), icon = document.querySelector("link[rel=icon]");
  document.title = (open ? `(${open}) ` : "") + document.title.replace(/^\(\d+\) /, "");
  if (icon.dataset.firing) icon.href = open ? icon.dataset.firing : icon.dataset.calm;
  all("[data-open]").forEach((count) => { count.hidden = !open; count.firstChild.data = open > 99 ? "99+" : open; });
}

function liven(within) {
  all("[data-plot]", within).forEach(livePlot);
  all("[data-columns]", within).forEach((details) => details.addEventListener("toggle", () => makeTable(details), { once: true }));
  all("form[data-preview]", within).forEach(livePreview);
  all("[data-live]", within).forEach(livePart);
  loadParts(all("[data-load]", within));
  all("nav [rel=next]", within).forEach((next) => next.addEventListener("click", appendOlder));
  all("[data-set]", within).forEach((button) => button.addEventListener("click", (event) => {
    event.preventDefault();
    const box = document.querySelector(button.dataset.set);
    box.value = button.value;
    box.dispatchEvent(new Event("input", { bubbles: true }));
  }));
  all("[data-copy]", within).forEach((button) => button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
  }));
}

// Keys: / searches, g then a letter goes, j and k walk a list, data-key names what else a page offers, ? shows them all.
const goes = { o: "/", a: "/alerts", l: "/logs", r: "/rules", d: "/deliveries", c: "/error-codes" };
let waiting = false;
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, [contenteditable]")) return;
  if (waiting && goes[event.key]) { location.href = goes[event.key]; return; }
  waiting = event.key === "g";
  if (event.key === "/") { const box = document.querySelector("[type=search]"); if (box) { event.preventDefault(); box.focus(); } }
  if (event.key === "j" || event.key === "k") {
    const lines = all(".logs a.line, .lines a.line, .alerts .what, .rules .what"), here = lines.indexOf(document.activeElement);
    lines[here < 0 ? 0 : here + (event.key === "j" ? 1 : -1)]?.focus();
  }
  if (event.key === "x") document.activeElement.closest("li")?.querySelector("[type=checkbox]")?.click();
  if (/^[a-z1-9]$/.test(event.key)) document.querySelector(`[data-key="${event.key}"]`)?.click();
  if (event.key === "?") document.getElementById("keys")?.showModal();
});

// Menus close when one clicks elsewhere or presses Escape.
addEventListener("click", (event) => all("details.menu[open]").forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; }));
addEventListener("keydown", (event) => { if (event.key === "Escape") all("details.menu[open]").forEach((menu) => { menu.open = false; menu.querySelector("summary").focus(); }); });

// The viewer's zone, sent to the server once; it draws times and axes in it from then on.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone && !document.body.dataset.zone && !document.cookie.includes("zone=")) document.cookie = `zone=${zone}; path=/; max-age=31536000; samesite=lax`;

// scripts/start prints an address that ends in #key=...: a fragment never reaches a server's log.
const signIn = document.querySelector("[data-sign-in]"), handed = new URLSearchParams(location.hash.slice(1)).get("key");
if (handed && signIn?.elements.key) {
  history.replaceState(null, "", location.pathname + location.search);
  signIn.elements.key.value = handed;
  signIn.requestSubmit();
}

liven(document);
