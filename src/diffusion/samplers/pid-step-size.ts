/** A PID controller of the step length of an adaptive ODE solver (Söderlind 2003, "Digital filters in adaptive time-stepping"; k-diffusion's `PIDStepSizeController`). */

export interface PidOptions {
  /** Length of the first step. */
  readonly length: number;
  readonly pcoeff: number;
  readonly icoeff: number;
  readonly dcoeff: number;
  /** Order of the solver's error. */
  readonly order: number;
  /** A step is accepted where the factor on the next length is at least this. */
  readonly acceptSafety: number;
}

export interface PidStepSize {
  /** Length of the step to try now. */
  length(): number;
  /** Takes the error of the attempted step, sets the next length, and returns whether the step is accepted. */
  propose(error: number): boolean;
}

export function pidStepSize({ length: first, pcoeff, icoeff, dcoeff, order, acceptSafety }: PidOptions): PidStepSize {
  let length = first;
  /** Inverse errors of the last accepted step and the one before. */
  let past: readonly [number, number] | undefined;
  return {
    length: () => length,
    propose(error) {
      const now = 1 / (error + 1e-8);
      const [last, beforeLast] = past ?? [now, now];
      past = [last, beforeLast];
      const raw =
        now ** ((pcoeff + icoeff + dcoeff) / order) *
        last ** (-(pcoeff + 2 * dcoeff) / order) *
        beforeLast ** (dcoeff / order);
      const factor = 1 + Math.atan(raw - 1);
      const accepted = factor >= acceptSafety;
      if (accepted) past = [now, last];
      length *= factor;
      return accepted;
    },
  };
}
