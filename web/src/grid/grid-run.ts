/** A grid of pictures that differ in one or two settings, made cell by cell. */

import { anySeed, type Settings, isAnySeed } from '../settings/settings.ts';
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
  /** Row by row: a picture, why there is none, or nothing yet. */
  readonly cells: readonly (Picture | string | undefined)[];
  /** Width to height. */
  readonly ratio: number;
  readonly running: boolean;
}

/** A picture, or why it could not be made (a sampler may refuse a spacing); undefined where it was stopped. */
async function makeCell(change: Partial<Settings>, model: string | undefined): Promise<Picture | string | undefined> {
  try {
    return (await studio.runJob(studio.job(change, model), model))?.[0];
  } catch (error) {
    return (error as Error).message;
  }
}

/** Generates a grid from the form's settings; its pictures also go into the history. All share one seed, unless the seed varies. */
export async function makeGrid(x: AxisChoice, y: AxisChoice): Promise<void> {
  const { engine, settings } = studio.state;
  if (studio.isBusy || !engine) return;
  try {
    const { samplers, schedules, models } = engine.facts;
    const context = { settings, samplers, schedules, models: models.map(({ name }) => name) };
    if (x.name === y.name && x.name !== 'none')
      throw new Error(`Both axes vary ${axes[x.name].label.toLowerCase()}. Choose another for one of them.`);
    const columns = axisValues(x.name, x.text, context);
    const rows = axisValues(y.name, y.text, context);
    const seed = isAnySeed(settings) ? anySeed() : settings.seed;
    const first = studio.job({ seed, batchSize: 1 });
    let grid: Grid = {
      columns,
      rows,
      columnLabel: axes[x.name].label,
      rowLabel: axes[y.name].label,
      prompt: settings.prompt,
      cells: columns.flatMap(() => rows.map(() => undefined)),
      ratio: first.settings.width / first.settings.height,
      running: true,
    };
    studio.set({ grid, notice: undefined });
    try {
      for (const [row, { change: down, model: rowModel }] of rows.entries()) {
        for (const [column, { change: across, model: columnModel }] of columns.entries()) {
          const cell = await makeCell({ seed, ...down, ...across, batchSize: 1 }, rowModel ?? columnModel);
          if (cell === undefined) return;
          grid = { ...grid, cells: grid.cells.with(row * columns.length + column, cell) };
          studio.set({ grid });
        }
      }
    } finally {
      studio.set({ grid: { ...grid, running: false } });
      void studio.next();
    }
  } catch (error) {
    studio.set({ notice: { kind: 'error', text: (error as Error).message } });
  }
}
