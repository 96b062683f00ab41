// The one state of the page. Controls and panels call its methods and listen to its events:
//   "frame"   another frame is shown; detail.frame
//   "seek"    the same, but asked for by the user or the address, not by playback; sent before "frame"
//   "play"    playing, speed or loop changed
//   "select"  another joint is selected; detail.joint, -1 for none
//   "method"  another method is shown; detail.method
//   "view"    the camera or the visible layers changed

class PageState extends EventTarget {
  constructor(data) {
    super();
    this.rate = data.rate_hz;
    this.numFrames = data.num_frames;
    this.speeds = data.speeds;
    this.position = data.start.frame; // frames, fractional
    this.playing = false;
    this.loop = true;
    this.speed = 1;
    this.joint = -1;
    this.method = 0;
    this.camera = null;
    this.layers = { skin: true, skeleton: false, floor: true, beside: true, path: false };
  }

  get frame() {
    return Math.min(Math.floor(this.position + 1e-6), this.numFrames - 1);
  }

  get seconds() {
    return this.frame / this.rate;
  }

  /** Go to a frame, from 0. */
  seek(frame) {
    this._move(frame, true);
  }

  /** Go to a time in seconds. */
  seekSeconds(seconds) {
    this.seek(Math.round(seconds * this.rate));
  }

  /** Pause, and move by a number of frames. */
  step(frames) {
    this.pause();
    this.seek(this.frame + frames);
  }

  pause() {
    if (this.playing) this.togglePlay();
  }

  /** Play or pause; at the end, play from the beginning. */
  togglePlay() {
    this.playing = !this.playing;
    if (this.playing && this.frame >= this.numFrames - 1) this.seek(0);
    this._send("play");
  }

  setLoop(loop) {
    this.loop = loop;
    this._send("play");
  }

  setSpeed(speed) {
    this.speed = speed;
    this._send("play");
  }

  /** Select a joint, 0 to 21; -1 for none. */
  select(joint) {
    if (joint === this.joint) return;
    this.joint = joint;
    this._send("select", { joint });
  }

  chooseMethod(method) {
    if (method === this.method) return;
    this.method = method;
    this._send("method", { method });
  }

  setCamera(camera) {
    this.camera = camera;
    this._send("view");
  }

  setLayer(name, visible) {
    this.layers[name] = visible;
    this._send("view");
  }

  /** Advance playback by some seconds of the clock. */
  advance(seconds) {
    if (!this.playing) return;
    let position = this.position + seconds * this.speed * this.rate;
    if (position >= this.numFrames) {
      if (this.loop) position %= this.numFrames;
      else {
        position = this.numFrames - 1;
        this.playing = false;
        this._send("play");
      }
    }
    this._move(position, false);
  }

  _move(position, byUser) {
    const before = this.frame;
    this.position = Math.min(Math.max(position, 0), this.numFrames - 1 + (byUser ? 0 : 0.999));
    const frame = this.frame;
    if (byUser) this._send("seek", { frame });
    if (frame !== before) this._send("frame", { frame, before });
  }

  _send(name, detail = {}) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
