// What the page "Your devices" does beyond its forms: times in the reader's zone, and a list that
// follows what happens elsewhere. Without it the page is complete.
const every = 15_000;
const policy = window.trustedTypes?.createPolicy("account", { createHTML: (text) => text }) ?? { createHTML: (text) => text };
const section = () => document.getElementById("devices");

function localTimes(root) {
  const moment = new Intl.DateTimeFormat(document.documentElement.lang || "en", { dateStyle: "medium", timeStyle: "short" });
  for (const time of root.querySelectorAll("time[datetime]")) time.textContent = moment.format(new Date(time.dateTime));
}

const ids = (root) => [...root.querySelectorAll("[data-id]")].map((card) => card.dataset.id).join(" ");

// show takes over a newer list, and keeps the focus where it was.
function show(fresh) {
  const old = section(), focused = document.activeElement?.id, note = fresh.querySelector("#devices-note");
  const changed = ids(old) !== ids(fresh);
  localTimes(fresh);
  const before = old.querySelector("#devices-note")?.textContent ?? "";
  old.replaceChildren(...fresh.childNodes);
  if (focused) document.getElementById(focused)?.focus();
  if (note) {
    note.textContent = changed ? note.dataset.live : before;
    note.classList.toggle("is-empty", note.textContent === "");
  }
}

// refresh asks without counting as activity: an open page keeps no session alive.
async function refresh() {
  if (document.hidden || location.search.includes("older=")) return;
  let answer;
  try {
    answer = await fetch(location.pathname, { headers: { accept: "text/html", "x-session-passive": "true" }, redirect: "manual" });
  } catch {
    return; // no network: the next time
  }
  if (answer.status === 401) return location.reload(); // the server says where to go
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(policy.createHTML(await answer.text()), "text/html").getElementById("devices");
  if (fresh && section()) show(document.importNode(fresh, true));
}

if (section()) {
  localTimes(section());
  if (location.search.includes("done=")) history.replaceState(null, "", location.pathname);
  setInterval(refresh, every);
  document.addEventListener("visibilitychange", refresh);
}
