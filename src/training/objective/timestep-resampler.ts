/**
 * Which timesteps a batch is trained on: all alike, or those whose losses are large (guided-diffusion's `LossSecondMomentResampler`; Nichol and
 * Dhariwal 2021, section 3.3). A timestep that is drawn with probability p counts with the weight 1 / (T p), so that the mean loss stays.
 */

export interface DrawnTimesteps {
  readonly timesteps: readonly number[];
  /** Factors on the losses. */
  readonly weights: readonly number[];
}

export interface TimestepResampler {
  /** float64 [T], not normalised. */
  weights(): Float64Array;
  /** One timestep for each number in [0, 1). */
  draw(uniforms: readonly number[]): DrawnTimesteps;
  /** Losses of timesteps, as they were computed. */
  update(timesteps: readonly number[], losses: readonly number[]): void;
  /** What has been seen, for checkpoints. */
  state(): ResamplerState;
  restore(state: ResamplerState): void;
}

/** The last losses of each timestep. */
export type ResamplerState = readonly (readonly number[])[];

/** numpy.random.choice with probabilities: the first place whose running sum lies above the number. */
export function drawTimesteps(weights: Float64Array, uniforms: readonly number[]): DrawnTimesteps {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const chances = weights.map((weight) => weight / total);
  let running = 0;
  const sums = chances.map((chance) => {
    running += chance;
    return running;
  });
  const timesteps = uniforms.map((uniform) => {
    const found = sums.findIndex((sum) => sum / running > uniform);
    return found < 0 ? weights.length - 1 : found;
  });
  return { timesteps, weights: timesteps.map((t) => 1 / (weights.length * (chances[t] as number))) };
}

/** Every timestep alike. */
export function uniformResampler(timesteps: number): TimestepResampler {
  const weights = new Float64Array(timesteps).fill(1);
  return {
    weights: () => weights,
    draw: (uniforms) => drawTimesteps(weights, uniforms),
    update() {},
    state: () => [],
    restore() {},
  };
}

/** By the root mean square of the last `history` losses of each timestep; all alike until each has so many. */
export function lossResampler(timesteps: number, history = 10, uniformShare = 0.001): TimestepResampler {
  let losses: number[][] = Array.from({ length: timesteps }, () => []);
  const weights = (): Float64Array => {
    if (losses.some(({ length }) => length < history)) return new Float64Array(timesteps).fill(1);
    const roots = Float64Array.from(losses, (row) =>
      Math.sqrt(row.reduce((sum, loss) => sum + loss * loss, 0) / row.length),
    );
    const total = roots.reduce((sum, root) => sum + root, 0);
    return roots.map((root) => (root / total) * (1 - uniformShare) + uniformShare / timesteps);
  };
  return {
    weights,
    draw: (uniforms) => drawTimesteps(weights(), uniforms),
    update(at, values) {
      for (const [i, t] of at.entries()) {
        const row = losses[t];
        if (!row) continue;
        row.push(values[i] as number);
        if (row.length > history) row.shift();
      }
    },
    state: () => losses.map((row) => [...row]),
    restore(state) {
      losses = state.map((row) => [...row]);
    },
  };
}
