/** A grid of pictures that differ in one or two settings, made cell by cell. */

import { anySeed } from '../settings/settings.ts';
import type { Picture } from '../history/picture-database.ts';
import { studio } from '../studio.ts';
import { type AxisName, type AxisValue, axes, axisValues } from './axes.ts';

export interface AxisChoice {
  readonly name: AxisName;
  readonly text: string;
}

export interface Grid {
  readonly columns: readonly AxisValue[];
  readonly rows: readonly AxisValue[];
  readonly columnLabel: string;
  readonly rowLabel: string;
  readonly prompt: string;
  /** Row by row. */
  readonly cells: readonly (Picture | undefined)[];
  /** Width to height. */
  readonly ratio: number;
  readonly running: boolean;
}

/** Makes a grid of the settings of the form; what is made goes into the history too. One seed for all, unless the seed is what varies. */
export async function makeGrid(x: AxisChoice, y: AxisChoice): Promise<void> {
  const { engine, settings } = studio.state;
  if (studio.isBusy || !engine) return;
  try {
    const { samplers, schedules, models } = engine.facts;
    const context = { settings, samplers, schedules, models: models.map(({ name }) => name) };
    if (x.name === y.name && x.name !== 'none') throw new Error(`Both axes vary ${axes[x.name].label.toLowerCase()}. Choose another for one of them.`);
    const columns = axisValues(x.name, x.text, context);
    const rows = axisValues(y.name, y.text, context);
    const seed = settings.seed < 0 ? anySeed() : settings.seed;
    const first = studio.job({ seed, batchSize: 1 });
    let grid: Grid = {
      columns, rows, columnLabel: axes[x.name].label, rowLabel: axes[y.name].label, prompt: settings.prompt, cells: columns.flatMap(() => rows.map(() => undefined)),
      ratio: first.settings.width / first.settings.height, running: true,
    };
    studio.set({ grid, notice: undefined });
    try {
      for (const [row, { change: down, model: rowModel }] of rows.entries()) {
        for (const [column, { change: across, model: columnModel }] of columns.entries()) {
          const made = await studio.runJob(studio.job({ seed, ...down, ...across, batchSize: 1 }), rowModel ?? columnModel);
          if (!made) return;
          grid = { ...grid, cells: grid.cells.with(row * columns.length + column, made[0]) };
          studio.set({ grid });
        }
      }
    } finally {
      studio.set({ grid: { ...grid, running: false } });
    }
  } catch (error) {
    studio.set({ notice: { kind: 'error', text: (error as Error).message } });
  }
}
