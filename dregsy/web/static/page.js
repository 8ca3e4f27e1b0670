"use strict";
// Puts in what changed, and sends what buttons ask for. The page is whole without it.
const held = new Map();
const lost = document.getElementById("lost");
const token = document.getElementById("token");
const said = document.getElementById("said");

function isHeld(place) { // somebody copies a text out of it, or presses a button in it
  const selection = getSelection();
  return place.matches(":active") || (!selection.isCollapsed && place.contains(selection.anchorNode));
}

function put(name, part) {
  if (name === "title") {
    document.title = part;
    return;
  }
  const place = document.getElementById(name);
  if (!place) return;
  if (isHeld(place)) {
    held.set(name, part);
    return;
  }
  held.delete(name);
  const focused = place.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
  place.innerHTML = part;
  const again = focused && [...place.querySelectorAll("button")].find((one) => one.ariaLabel === focused);
  if (again) again.focus();
}

function release() {
  for (const [name, part] of [...held]) put(name, part);
}
document.addEventListener("selectionchange", release);
for (const kind of ["pointerup", "pointercancel", "keyup"]) document.addEventListener(kind, () => setTimeout(release));

function connect() {
  const events = new EventSource("events");
  events.addEventListener("part", (event) => put(...JSON.parse(event.data)));
  events.onopen = () => { lost.hidden = true; };
  events.onerror = () => {
    if (lost.hidden) lost.textContent = `No connection to dregsy since ${new Date().toLocaleTimeString()}: what you see is as of then.`;
    lost.hidden = false;
    if (events.readyState === EventSource.CLOSED) setTimeout(connect, 10000); // it was refused: browsers do not try again by themselves
  };
}

function say(text, isBad) {
  said.textContent = text;
  said.className = isBad ? "bad" : "";
}

async function send(verb, task) {
  try {
    const body = new URLSearchParams({ task, token: token.value });
    const answer = await (await fetch(`api/v1/${verb}`, { method: "POST", body })).json();
    say(answer.hint ? `${answer.message}: ${answer.hint}` : answer.message, !answer.ok);
  } catch {
    say("no answer from dregsy", true);
  }
}

if (token) {
  token.value = token.value || sessionStorage.getItem("token") || "";
  token.addEventListener("input", () => sessionStorage.setItem("token", token.value));
  document.addEventListener("submit", (event) => {
    if (!event.submitter || event.submitter.name !== "task") return;
    event.preventDefault();
    send(event.submitter.getAttribute("formaction"), event.submitter.value);
  });
}

if (lost) connect();
