// A file that is dropped or chosen goes to the server as it is; the server says what comes next.
"use strict";
{
  const drop = document.getElementById("drop");
  const chooser = document.getElementById("file");

  async function give(file) {
    if (!file) return;
    const box = document.getElementById("error");
    const told = (text) => { box.textContent = text; box.hidden = !text; };
    told("");
    try {
      const name = encodeURIComponent(file.name);
      const answer = await fetch(`/new/file?name=${name}`, { method: "POST", body: file });
      const text = await answer.text();
      if (!answer.ok) throw new Error(text || `The answer has status ${answer.status}.`);
      htmx.swap("#step", text, { swapStyle: "innerHTML" });
    } catch (error) {
      told(error instanceof TypeError ? "The web UI does not answer." : error.message);
      chooser.value = ""; // the same file may be chosen again
    }
  }

  chooser.addEventListener("change", () => give(chooser.files[0]));
  for (const kind of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
      if (kind === "drop") give(event.dataTransfer.files[0]);
    });
  }
}
