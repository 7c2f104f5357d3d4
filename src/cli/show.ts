/** Shows pictures in the terminal, if it supports them. */

import type { Image } from '../image/image.ts';
import type { CliContext } from './command.ts';
import type { OutputValues } from './generation-options.ts';
import type { Progress } from './progress.ts';
import { detectTerminalGraphics, terminalImage, type TerminalGraphics } from './terminal-image.ts';

/** The protocol to show pictures with; `none` if the output is not a terminal or `--no-show` is given. */
export function terminalGraphics(
  context: CliContext,
  values: Pick<OutputValues, 'json' | 'quiet' | 'noShow'>,
): TerminalGraphics {
  if (values.json || values.quiet || values.noShow) return 'none';
  return detectTerminalGraphics(context.environment, context.out.isTerminal);
}

/** Pictures as text, one below the other, each limited to its share of the terminal's height. */
async function textOf({ out }: CliContext, graphics: TerminalGraphics, images: readonly Image[]): Promise<string> {
  // The progress bar's line and one above it stay free.
  const rows = out.rows === undefined ? undefined : Math.max(6, Math.floor((out.rows - 2) / images.length));
  const texts = await Promise.all(
    images.map((image) => terminalImage(image, { graphics, columns: Math.min(64, out.columns), rows })),
  );
  return texts.join('');
}

/** Shows pictures, each fitted into the terminal's height if that is known. */
export async function showImages(
  context: CliContext,
  progress: Progress,
  graphics: TerminalGraphics,
  images: readonly Image[],
): Promise<void> {
  if (graphics === 'none') return;
  progress.clear();
  for (const image of images) context.out.control(await textOf(context, graphics, [image]));
}

export interface Preview {
  show(images: readonly Image[]): Promise<void>;
  /** Removes the picture, before other text is written. */
  clear(): void;
}

/** Shows each picture in place of the one before. If the terminal's height is unknown, or pictures are not made of characters, they appear one below the other. */
export function createPreview(context: CliContext, progress: Progress, graphics: TerminalGraphics): Preview {
  let lines = 0;
  const clear = (): void => {
    if (lines === 0) return;
    progress.clear();
    context.out.control(`\x1b[${lines}A\x1b[J`);
    lines = 0;
  };
  return {
    clear,
    async show(images) {
      if (graphics === 'none') return;
      const text = await textOf(context, graphics, images);
      clear();
      progress.clear();
      context.out.control(text);
      const height = text.split('\n').length - 1;
      if (graphics === 'blocks' && context.out.rows !== undefined && height < context.out.rows) lines = height;
    },
  };
}
