// Keys, dialogs, and what is said when something goes wrong. htmx sends and swaps; the server makes
// all markup. Whatever a user or a model wrote becomes text here, never markup.
"use strict";
{
  const at = (id) => document.getElementById(id);

  function tell(box, text) {
    if (!box) return;
    box.textContent = text;
    box.hidden = !text;
  }

  // ---- what goes wrong -------------------------------------------------------------------------

  let contact = new Date();
  const errors = () => [at("error"), at("edit-error")];

  function lost() {
    const since = contact.toLocaleTimeString();
    tell(at("lost"), `The connection to the web UI is lost: this page shows the state at ${since}. ` +
      "Nothing is saved until it is back; the page keeps trying.");
  }

  document.addEventListener("htmx:beforeRequest", ({ detail }) => {
    if (detail.requestConfig.verb === "post") errors().forEach((box) => tell(box, ""));
  });
  document.addEventListener("htmx:sendError", lost);
  document.addEventListener("htmx:timeout", lost);
  document.addEventListener("htmx:afterRequest", ({ detail }) => {
    if (!detail.xhr.status) return;
    contact = new Date();
    tell(at("lost"), detail.xhr.status === 403
      ? "The web UI was restarted: use the new address that it printed." : "");
  });
  document.addEventListener("htmx:responseError", ({ detail }) => {
    if (detail.xhr.status === 403) return;
    const message = detail.xhr.responseText || `The answer has status ${detail.xhr.status}.`;
    errors().forEach((box) => tell(box, message));
  });

  // A form that was swapped in just now is not known to htmx yet: without this the browser would
  // send it as a page of its own, and what was typed would be gone.
  document.addEventListener("submit", (event) => {
    const { target: form, submitter: button } = event;
    if (event.defaultPrevented || !form.hasAttribute("hx-post")) return;
    event.preventDefault();
    htmx.process(form);
    setTimeout(() => button ? button.click() : form.requestSubmit());
  });

  // ---- a run that goes on ----------------------------------------------------------------------

  document.addEventListener("htmx:afterSettle", () => {
    const [state, said] = [at("state"), at("said")];
    if (state && said && said.textContent !== state.textContent) {
      said.textContent = state.textContent; // read aloud, once for each change
    }
  });

  // ---- the review ------------------------------------------------------------------------------

  const queue = at("queue");
  if (queue) review();

  function review() {
    const run = queue.dataset.run;
    const keys = at("keys");
    const [help, relabelling, editing] = [at("help"), at("relabel"), at("edit")];
    const words = at("relabel-words");
    const options = Array.from(at("relabel-list").children);
    const decided = []; // ids of cards that were decided on here, for undo
    const waiting = new Map(); // id of a card whose decision is on its way: whether to undo it then
    let current = ""; // id of the card that keys mean

    const cards = () => Array.from(queue.querySelectorAll(".card"));
    const chosen = () => at(current);

    function go(card) {
      if (!card) return;
      current = card.id;
      card.focus({ preventScroll: true });
      card.scrollIntoView({ block: "nearest" });
    }

    function step(by) {
      const all = cards();
      const i = all.findIndex((card) => card.id === current);
      go(all[Math.max(0, Math.min(all.length - 1, i + by))]);
    }

    // A request that finds no server rejects its promise; that was told by `htmx:sendError`.
    const ask = (...about) => htmx.ajax(...about).catch(() => {});

    function send(card, values) {
      const { id, seen } = card.dataset;
      ask("POST", `/runs/${run}/decisions`, {
        source: card, target: card, swap: "outerHTML", values: { id, seen, ...values },
      });
    }

    function press(card, decision) {
      // Not by its button: that of a card that was swapped just now does nothing yet.
      if (card?.querySelector(`button[value="${decision}"]`)) send(card, { decision });
    }

    function undo() {
      const id = decided.pop() ?? current;
      const card = at(id);
      if (waiting.has(id)) waiting.set(id, true);
      else press(card, "undo");
      go(card);
    }

    function relabel(card) {
      current = card.id;
      at("relabel-text").textContent = card.querySelector(".words").textContent;
      words.value = "";
      narrow();
      relabelling.showModal();
      words.focus();
    }

    function narrow() {
      const part = words.value.trim().toLowerCase();
      for (const option of options) {
        option.hidden = !option.textContent.toLowerCase().includes(part);
      }
      mark(options.find((option) => !option.hidden));
    }

    function mark(option) {
      options.forEach((each) => each.setAttribute("aria-selected", String(each === option)));
      if (option) {
        words.setAttribute("aria-activedescendant", option.id);
        option.scrollIntoView({ block: "nearest" });
      } else words.removeAttribute("aria-activedescendant");
    }

    function move(by) {
      const shown = options.filter((option) => !option.hidden);
      const i = shown.findIndex((option) => option.getAttribute("aria-selected") === "true");
      if (shown.length) mark(shown[(i + by + shown.length) % shown.length]);
    }

    function take(option) {
      if (!option || option.hidden) return;
      const card = chosen();
      relabelling.close();
      send(card, { decision: "relabel", label: option.dataset.label });
      step(1);
    }

    async function edit(card) {
      current = card.id;
      const id = encodeURIComponent(card.dataset.id);
      at("editor").replaceChildren();
      await ask("GET", `/runs/${run}/editor?id=${id}`, { target: "#editor", swap: "innerHTML" });
      if (!at("edit-words")) return; // it was told why
      tell(at("edit-error"), "");
      editing.showModal();
      at("edit-words").focus();
    }

    const doing = {
      j: () => step(1),
      k: () => step(-1),
      a: () => { press(chosen(), "accept"); step(1); },
      r: () => { press(chosen(), "reject"); step(1); },
      l: () => chosen() && relabel(chosen()),
      e: () => chosen() && edit(chosen()),
      u: undo,
      n: () => at("page-after")?.click(),
      p: () => at("page-before")?.click(),
      "/": () => at("filter-class").focus(),
      "?": () => help.showModal(),
    };

    document.addEventListener("keydown", (event) => {
      const typed = event.target.closest?.("input:not([type=checkbox]), textarea, select, dialog");
      if (typed || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
      if (!keys.checked || !Object.hasOwn(doing, event.key)) return;
      event.preventDefault();
      doing[event.key]();
    });

    words.addEventListener("input", narrow);
    words.addEventListener("keydown", (event) => {
      if (event.isComposing) return;
      if (event.key === "ArrowDown") move(1);
      else if (event.key === "ArrowUp") move(-1);
      else if (event.key === "Enter") take(options.find((each) => each.ariaSelected === "true"));
      else return;
      event.preventDefault();
    });
    at("relabel-list").addEventListener("click", ({ target }) => take(target.closest("li")));
    relabelling.addEventListener("close", () => chosen()?.focus());

    editing.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      editing.querySelector("form").requestSubmit();
    });
    editing.addEventListener("close", () => chosen()?.focus());

    document.addEventListener("click", ({ target }) => {
      const action = target.closest("[data-action]")?.dataset.action;
      if (action === "relabel") relabel(target.closest(".card"));
      else if (action === "edit") edit(target.closest(".card"));
      else if (action === "close") target.closest("dialog").close();
    });
    at("help-button").addEventListener("click", () => help.showModal());
    queue.addEventListener("focusin", ({ target }) => {
      current = target.closest(".card")?.id ?? current;
    });

    const decides = ({ requestConfig: asked }) =>
      asked.verb === "post" && asked.path.endsWith("/decisions") ? asked : null;

    document.addEventListener("htmx:beforeRequest", ({ detail }) => {
      const asked = decides(detail);
      if (!asked) return;
      waiting.set(detail.target.id, false);
      if (asked.parameters.decision !== "undo") decided.push(detail.target.id);
    });
    document.addEventListener("htmx:afterRequest", ({ detail }) => {
      const asked = decides(detail);
      if (!asked) return;
      const id = detail.target.id;
      const undone = waiting.get(id);
      waiting.delete(id);
      if (!detail.successful) {
        if (decided.includes(id)) decided.splice(decided.lastIndexOf(id), 1);
        return;
      }
      if (asked.parameters.decision === "edit" && editing.open) {
        editing.close();
        step(1);
      }
      if (undone) setTimeout(() => press(at(id), "undo")); // when the new card is there
    });
    for (const swapped of ["htmx:afterSwap", "htmx:oobAfterSwap"]) {
      document.addEventListener(swapped, () => {
        // What had the focus may be gone: the card that took its place gets it.
        if (document.activeElement === document.body && current) chosen()?.focus();
      });
    }
    document.addEventListener("htmx:oobBeforeSwap", (event) => {
      const { target, fragment } = event.detail;
      const made = fragment.dataset ? fragment : fragment.firstElementChild;
      if (target.dataset.seen && made && made.dataset.seen === target.dataset.seen) {
        event.detail.shouldSwap = false; // the decision of this tab itself, come back
      }
    });

    keys.checked = localStorage.getItem("pgkd-keys") !== "off";
    keys.addEventListener("change", () => {
      localStorage.setItem("pgkd-keys", keys.checked ? "on" : "off");
    });
    go(cards()[0]);
  }
}
