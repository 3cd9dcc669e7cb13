/** How long a run has taken and how fast it is. Nothing that is computed depends on it. */

/** Of a new step in the rate that is shown. */
const newShare = 0.05;

export class StepClock {
  readonly #before: number;
  readonly #started = performance.now();
  #begin = 0;
  #waited = 0;
  #worked = 0;
  #rate = 0;
  #logged = performance.now();

  /** `before`: seconds of the run's earlier parts. */
  constructor(before: number) {
    this.#before = before;
  }

  /** Over all parts of the run. */
  get seconds(): number {
    return this.#before + (performance.now() - this.#started) / 1000;
  }

  /** Share of the time of this part's steps in which they waited for images; 0 before the first. */
  get waiting(): number {
    return this.#worked === 0 ? 0 : this.#waited / this.#worked;
  }

  /** Images a second, of the last steps more than of those before. */
  get rate(): number {
    return this.#rate;
  }

  beginStep(): void {
    this.#begin = performance.now();
  }

  batchIsThere(): void {
    this.#waited += performance.now() - this.#begin;
  }

  endStep(images: number): void {
    const time = performance.now() - this.#begin;
    this.#worked += time;
    const speed = images / (time / 1000);
    this.#rate = this.#rate === 0 ? speed : this.#rate + newShare * (speed - this.#rate);
  }

  /** Seconds since the last line of metrics, and from now on since this one. */
  lap(): number {
    const now = performance.now();
    const seconds = (now - this.#logged) / 1000;
    this.#logged = now;
    return seconds;
  }
}
