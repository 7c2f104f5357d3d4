/**
 * The training loop: batches in order, updates, metrics, sample grids, checkpoints and the report of a run, until its steps are done or it
 * is asked to stop.
 *
 * A step depends only on the weights, the seed and the step's number, so a resumed run gives the same bits.
 */

import { type ProgressState, progressLine, progressMeter } from './run/progress.ts';
import type { LoopOptions, TrainingEvent } from './loop-options.ts';
import { restore } from './loop-state.ts';
import { trainingSteps } from './loop-steps.ts';

/** Maximum milliseconds between reports. */
const reportPause = 20_000;

/**
 * Trains to the end of the settings. The run is closed at the end, the trainee is not disposed of.
 *
 * Throws `not-finite` where the loss became NaN (the last checkpoint is from before), `file-access` where the disk is full (the same), or
 * what data and engine throw. Nothing is written after such an error but the report.
 */
export async function* trainingLoop<Batch>(options: LoopOptions<Batch>): AsyncGenerator<TrainingEvent, void, void> {
  const { run, now } = options;
  let progress: ProgressState | undefined;
  let reported = now();
  const report = (status: 'running' | 'finished' | 'stopped' | 'failed', failure?: string): Promise<string> =>
    run.report({
      status,
      progress: progress ? progressLine(progress) : '',
      problems: [failure, options.problems.summary()].filter(Boolean).join('\n'),
    });
  const written = async (status: 'running' | 'finished' | 'stopped', step: number): Promise<TrainingEvent> => {
    const path = await report(status);
    reported = now();
    return { kind: 'report', step, path };
  };
  try {
    const start = await restore(options);
    yield { kind: 'begin', step: start.step, beganAgain: run.beganAgain };
    const meter = progressMeter({
      total: options.settings.maxSteps,
      batchSize: options.settings.batchSize * options.settings.accumulate * (options.communicator?.size ?? 1),
      start: start.step,
      now: now(),
    });
    for await (const event of trainingSteps(options, start)) {
      if (event.kind === 'step') {
        progress = meter.update(event.step, now());
        yield { ...event, progress };
        if (options.report && now() - reported >= reportPause) yield await written('running', event.step);
        continue;
      }
      const isEnd = event.kind === 'end';
      if (options.report && (isEnd || event.kind === 'samples' || event.kind === 'checkpoint'))
        yield await written(isEnd ? event.status : 'running', event.step);
      yield event;
    }
  } catch (error) {
    if (options.report)
      await report('failed', error instanceof Error ? error.message : String(error)).catch(() => undefined);
    throw error;
  } finally {
    await run.close();
  }
}
