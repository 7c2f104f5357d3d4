/** Limits of one request, one caller and the whole server. Set by the operator; every limit is checked before memory or time is spent. */

export interface Limits {
  /** Bytes of a request's body. */
  readonly bodyBytes: number;
  /** Maximum seconds to send a request; then the connection is closed. */
  readonly requestSeconds: number;
  /** Width times height of one generated picture. */
  readonly pixels: number;
  /** Width times height of an uploaded picture, by its header. */
  readonly inputPixels: number;
  readonly steps: number;
  /** Pictures of one request: batch size times iterations. */
  readonly pictures: number;
  /** Characters of a prompt. */
  readonly promptLength: number;
  /** Queued jobs of all callers together. Above it the answer is 503. */
  readonly queueLength: number;
  /** Queued and running jobs of one caller. Above it the answer is 429. */
  readonly queuePerCaller: number;
  /** Maximum attempts per job, because the job itself may crash the process. */
  readonly attempts: number;
  /** Work of one job: steps x pixels x pictures, twice with guidance. Beyond it the answer is 422. */
  readonly jobWork: number;
  /** Seconds of work on one job, without waiting for others. Above it the job fails. */
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
