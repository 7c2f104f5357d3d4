/** What one request, one caller and the whole server may use. Set by the operator; every limit is checked before the memory or time is spent. */

export interface Limits {
  /** Bytes of a request's body. */
  readonly bodyBytes: number;
  /** How long a caller may take to send a request; then its connection is ended. */
  readonly requestSeconds: number;
  /** Width times height of one picture that is made. */
  readonly pixels: number;
  /** Width times height of a picture that is sent in, by its header. */
  readonly inputPixels: number;
  readonly steps: number;
  /** Pictures of one request: batch size times iterations. */
  readonly pictures: number;
  /** Characters of a prompt. */
  readonly promptLength: number;
  /** Jobs that wait, of all callers together. Beyond it the answer is 503. */
  readonly queueLength: number;
  /** Jobs of one caller that wait or run. Beyond it the answer is 429. */
  readonly queuePerCaller: number;
  /** How often a job is begun before it counts as failed: it may be the job that ends the process. */
  readonly attempts: number;
  /** Work of one job: steps x pixels x pictures, twice with guidance. Beyond it the answer is 422. */
  readonly jobWork: number;
  /** Seconds of work on one job, without the time in which it waits for others. Beyond it the job fails. */
  readonly jobSeconds: number;
  /** Finished jobs of one caller that are kept; the oldest are removed. */
  readonly keptPerCaller: number;
}

export const defaultLimits: Limits = {
  bodyBytes: 32 * 2 ** 20,
  requestSeconds: 60,
  pixels: 2048 * 2048,
  inputPixels: 4096 * 4096,
  steps: 150,
  pictures: 32,
  promptLength: 10_000,
  queueLength: 1000,
  queuePerCaller: 500,
  attempts: 5,
  jobWork: 2 ** 31,
  jobSeconds: 2 * 3600,
  keptPerCaller: 2000,
};
