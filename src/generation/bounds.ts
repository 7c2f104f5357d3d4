/**
 * The smallest and the largest value of every number that a request may hold. A request can come from a stranger's picture or from the
 * network, so each number is checked before it costs time or memory. Plain data: pages import it without the schema.
 */

export interface Bounds {
  readonly min: number;
  readonly max: number;
}

export const bounds = {
  /** Characters of one prompt. */
  promptLength: { min: 0, max: 100_000 },
  steps: { min: 1, max: 10_000 },
  /** Pictures in one batch. */
  batchSize: { min: 1, max: 1024 },
  iterations: { min: 1, max: 10_000 },
  /** Pixels of one side. */
  side: { min: 1, max: 16_384 },
  clipSkip: { min: 1, max: 100 },
  classLabel: { min: 0, max: 2 ** 31 - 1 },
  /** Boxes of a layout. */
  boxes: { min: 1, max: 1000 },
  /** Elements of a patch's side. */
  patch: { min: 1, max: 4096 },
  /** Factor on a classifier's gradient. */
  classifierScale: { min: -1000, max: 1000 },
  guidance: { min: -10_000, max: 10_000 },
  share: { min: 0, max: 1 },
  eta: { min: -100, max: 100 },
  /** Factor on the noise that a run starts from. */
  noiseFactor: { min: 0, max: 10 },
  factor: { min: -1000, max: 1000 },
  sigma: { min: 0, max: 1_000_000 },
  rho: { min: 0.01, max: 100 },
  tolerance: { min: 0, max: 1000 },
  order: { min: 1, max: 4 },
  restarts: { min: 0, max: 16 },
  restartSteps: { min: 1, max: 1000 },
  restartTimes: { min: 0, max: 100 },
  seedDelta: { min: -(2 ** 31), max: 2 ** 31 - 1 },
  /** Stages after the first of a cascade. */
  stages: { min: 1, max: 4 },
  /** Controls of one kind in a run. */
  controls: { min: 0, max: 16 },
  /** Places that GLIGEN was trained with. */
  groundedObjects: { min: 1, max: 30 },
  controlWeight: { min: -10, max: 10 },
  controlResolution: { min: 64, max: 4096 },
  controlThreshold: { min: -1000, max: 1000 },
  freeU: { min: -10, max: 10 },
  /** Steps of DeepCache between whole ones, counted with them. */
  cacheInterval: { min: 1, max: 1000 },
  cacheBranch: { min: 0, max: 30 },
  softMask: { min: 0, max: 8 },
  /** Pixels that outpainting adds at a side. */
  outpaint: { min: 0, max: 2048 },
  outpaintBlur: { min: 0, max: 64 },
  /** Exponent of a spectrum. */
  fallOff: { min: 0, max: 4 },
  commaBacktrack: { min: 0, max: 1000 },
  /** Pixels from an edge at which a picture was cropped. */
  crop: { min: 0, max: 16_384 },
  timestep: { min: 0, max: 999_999 },
  /** Timesteps of a schedule. */
  noiseLevel: { min: 0, max: 999 },
  aestheticScore: { min: 0, max: 10 },
} as const satisfies Readonly<Record<string, Bounds>>;
