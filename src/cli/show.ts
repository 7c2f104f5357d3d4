/** Pictures in the terminal, where it can show them. */

import type { Image } from '../image/image.ts';
import type { CliContext } from './command.ts';
import type { OutputValues } from './generation-options.ts';
import type { Progress } from './progress.ts';
import { detectTerminalGraphics, terminalImage, type TerminalGraphics } from './terminal-image.ts';

/** What to show pictures by; `none` where output is read by a program or it is not wanted. */
export function terminalGraphics(context: CliContext, values: Pick<OutputValues, 'json' | 'quiet' | 'noShow'>): TerminalGraphics {
  if (values.json || values.quiet || values.noShow) return 'none';
  return detectTerminalGraphics(context.environment, context.out.isTerminal);
}

/** Shows them one below the other. */
export async function showImages(context: CliContext, progress: Progress, graphics: TerminalGraphics, images: readonly Image[]): Promise<void> {
  if (graphics === 'none') return;
  progress.clear();
  for (const image of images) context.out.write(await terminalImage(image, { graphics, columns: Math.min(64, context.out.columns) }));
}
