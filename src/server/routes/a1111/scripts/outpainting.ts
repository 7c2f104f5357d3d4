/** A1111's scripts "Outpainting mk2" and "Poor man's outpainting" (scripts/outpainting_mk_2.py, scripts/poor_mans_outpainting.py, v1.10.1). */

import { type Outpaint, outpaintField, outpaintFills } from '../../../../generation/picture-fields.ts';
import type { Arguments, Script, ScriptArgument } from './script.ts';

const directions = ['left', 'right', 'up', 'down'] as const;

const pixels: ScriptArgument = { label: 'Pixels to expand', value: 128, minimum: 8, maximum: 256, step: 8 };
const blur = (value: number): ScriptArgument => ({ label: 'Mask blur', value, minimum: 0, maximum: 64, step: 1 });
const direction: ScriptArgument = { label: 'Outpainting direction', value: directions, choices: directions };

function outpaintOf(
  args: Arguments,
  { pixelsAt, directionAt }: { pixelsAt: number; directionAt: number },
  rest: object,
): Outpaint {
  const chosen = args.choices(directionAt);
  if (chosen.length === 0) args.refuse(directionAt, 'choose one direction or more');
  const added = args.whole(pixelsAt);
  return outpaintField.parse({ ...Object.fromEntries(chosen.map((side) => [side, added])), ...rest });
}

export const outpaintingMk2: Script = {
  title: 'Outpainting mk2',
  tasks: ['img2img'],
  args: () => [
    { label: '', value: '' },
    pixels,
    blur(8),
    direction,
    { label: 'Fall-off exponent (lower=higher detail)', value: 1, minimum: 0, maximum: 4, step: 0.01 },
    { label: 'Color variation', value: 0.05, minimum: 0, maximum: 1, step: 0.01 },
  ],
  outpaint: (args) =>
    outpaintOf(
      args,
      { pixelsAt: 1, directionAt: 3 },
      {
        method: 'mk2',
        maskBlur: args.whole(2),
        fallOff: args.number(4),
        colorVariation: args.number(5),
      },
    ),
};

export const poorMansOutpainting: Script = {
  title: "Poor man's outpainting",
  tasks: ['img2img'],
  args: () => [pixels, blur(4), { label: 'Masked content', value: 'fill', choices: outpaintFills }, direction],
  outpaint: (args) =>
    outpaintOf(
      args,
      { pixelsAt: 0, directionAt: 3 },
      {
        method: 'poor-mans',
        maskBlur: args.whole(1),
        fill: args.choice(2),
      },
    ),
};
