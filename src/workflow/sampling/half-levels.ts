/**
 * The entry nearest to a level halfway between two entries of a table, in the logarithm. Schedules of whole numbers of steps ask for such levels,
 * and there the last bit decides which timestep the network sees.
 */

/** A table of levels, and the halves i + 1/2 where PyTorch decides otherwise than exact rounding to float32 would. */
interface KnownTable {
  readonly count: number;
  readonly lowest: number;
  readonly highest: number;
  readonly exceptions: ReadonlySet<number>;
}

/** Measured with PyTorch 2.13 on x86, whose float32 logarithm is not always rounded to nearest: the levels of Stable Diffusion, and every twentieth of them (LCM). */
const knownTables: readonly KnownTable[] = [
  {
    count: 1000,
    lowest: 0.029167158529162407,
    highest: 14.614641189575195,
    exceptions: new Set([
      116, 132, 193, 202, 210, 230, 245, 251, 266, 275, 281, 287, 294, 375, 430, 439, 440, 455, 462, 515, 516, 550, 605,
      615, 622, 633, 640,
    ]),
  },
  {
    count: 50,
    lowest: 0.13445067405700684,
    highest: 14.614641189575195,
    exceptions: new Set([6, 22, 23, 24, 29, 30, 31]),
  },
];

/** Whether PyTorch takes the other neighbour of the level at `low` + 1/2 of a table. */
export function isExceptionalHalf(sigmas: Float32Array, low: number): boolean {
  const known = knownTables.find(
    ({ count, lowest, highest }) => count === sigmas.length && lowest === sigmas[0] && highest === sigmas.at(-1),
  );
  return known?.exceptions.has(low) ?? false;
}
