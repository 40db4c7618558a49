// <job-progress src events on-success titled> keeps the server's HTML of a run up
// to date; without it the page works by reloading.

const GONE = [401, 403, 404, 410];
const at = (state, path) => path.split(".").reduce((value, key) => value?.[key], state) ?? "";

class JobProgress extends HTMLElement {
  connectedCallback() {
    const isOver = /succeeded|failed|cancelled/.test(this.dataset.state);
    if (isOver && (!this.hasAttribute("fresh") || this.seen())) return;
    this.each("[data-unscripted]", (node) => (node.hidden = true));
    Object.assign(this, { stopped: false, failures: 0, pause: 500 });
    this.wake = () => document.hidden || this.poll();
    document.addEventListener("visibilitychange", this.wake);
    const events = this.getAttribute("events");
    if (events) this.listen(new EventSource(events));
    this.plan();
  }

  listen(source) {
    this.source = source;
    source.addEventListener("state", ({ data }) => this.show(JSON.parse(data)));
    source.onerror = () => {
      source.close();
      this.source = null;
      this.plan();
    };
  }

  disconnectedCallback() {
    this.stopped = true;
    clearTimeout(this.timer);
    this.source?.close();
    document.removeEventListener("visibilitychange", this.wake);
  }

  plan() {
    if (this.stopped) return;
    clearTimeout(this.timer);
    // Beside a stream too: a proxy may hold it back, or a network lose it unsaid.
    const wait = Math.min((this.source ? 1e4 : this.pause) * 2 ** this.failures, 3e4);
    this.timer = setTimeout(() => this.poll(), document.hidden ? 2e4 : wait);
  }

  async poll() {
    if (this.asking || this.stopped) return;
    this.asking = true;
    try {
      const answer = await fetch(this.getAttribute("src"), {
        cache: "no-store",
        headers: { Accept: "application/json", "If-None-Match": this.tag ?? "" },
        redirect: "manual",
        signal: AbortSignal.timeout(1e4),
      });
      if (answer.type == "opaqueredirect" || GONE.includes(answer.status)) {
        this.disconnectedCallback();
        this.note(this.dataset.gone);
      } else if (answer.ok) {
        this.show(await answer.json());
        this.tag = answer.headers.get("ETag");
      } else if (answer.status == 304) this.note("");
      else throw answer;
      this.failures = 0;
    } catch {
      this.failures += 1;
      this.note(this.dataset.lost);
    }
    this.asking = false;
    this.plan();
  }

  show(state) {
    if (this.stopped) return;
    const kinds = [(this.dataset.state = state.state), state.poll_after_ms && "open", state.result?.kind];
    const { percent } = state.progress;
    this.pause = state.poll_after_ms;
    this.note("");
    this.each("[data-text]", (node) => this.write(node, at(state, node.dataset.text)));
    this.each("[data-when]", (node) => (node.hidden = !node.dataset.when.split(" ").some((kind) => kinds.includes(kind))));
    this.each("[data-href]", (node) => (node.href = at(state, node.dataset.href)));
    this.each("progress", (bar) => (percent == null ? bar.removeAttribute("value") : (bar.value = percent)));
    this.each("[data-log]", (log) => this.write(log, state.log.map(({ text }) => text).join("\n")));
    if (this.hasAttribute("titled")) document.title = state.page_title;
    this.emit("progress", state);
    if (!this.pause) this.end(state);
  }

  // preventDefault() on job:succeeded keeps the visitor here.
  end(state) {
    this.disconnectedCallback();
    this.seen(true);
    const { links, result } = state;
    const wishes = this.getAttribute("on-success");
    if (!this.emit(state.state, state)) return;
    if (/download/.test(wishes) && links.download) location.assign(links.download);
    if (/redirect/.test(wishes) && /page|redirect/.test(result?.kind)) location.assign(result.url);
  }

  // Whether this window has seen the end: reloading downloads nothing again.
  seen(now = false) {
    const key = `errands ${this.getAttribute("src")}`;
    try {
      if (now) sessionStorage.setItem(key, "seen");
      return sessionStorage.getItem(key) == "seen";
    } catch {
      return true;
    }
  }

  emit(name, detail) {
    return this.dispatchEvent(new CustomEvent(`job:${name}`, { bubbles: true, cancelable: true, detail }));
  }

  each(selector, change) {
    this.querySelectorAll(selector).forEach(change);
  }

  // Setting the same text again would have it read aloud again.
  write(node, text) {
    if (node.textContent != text) node.textContent = text;
    node.hidden = !text;
  }

  note(text) {
    this.each("[data-note]", (node) => this.write(node, text));
  }
}

customElements.define("job-progress", JobProgress);
