/** The size of the picture: two numbers, and shapes that fit the model. */

import { useEffect, useState } from 'react';
import { NumberInput } from '../settings/fields.tsx';
import { limits } from '../settings/settings.ts';
import { Icon } from '../shell/icons.tsx';
import { studio, useStudio } from '../studio.ts';

interface Sides {
  readonly width: number;
  readonly height: number;
}

/** Shapes by their proportions, width to height. */
const shapes = [
  ['Square', 1, 1],
  ['Tall', 2, 3],
  ['Wide', 3, 2],
] as const;

/** Sides in pixels; undefined until they are known. */
function useSidesOf(picture: Blob | undefined): Sides | undefined {
  const [sides, setSides] = useState<Sides>();
  useEffect(() => {
    setSides(undefined);
    if (!picture) return;
    let current = true;
    createImageBitmap(picture).then(
      (bitmap) => {
        if (current) setSides({ width: bitmap.width, height: bitmap.height });
        bitmap.close();
      },
      () => {},
    );
    return () => {
      current = false;
    };
  }, [picture]);
  return sides;
}

/** The model's size at these proportions, in multiples of `unit`. The longer side grows, so that the shorter keeps the model's own size. */
function shapeOf(
  w: number,
  h: number,
  { size = 512, unit = 64 }: { readonly size?: number; readonly unit?: number },
): Sides {
  const fit = (value: number): number => Math.max(unit, Math.round(value / unit) * unit);
  const long = (value: number): number => Math.min(fit(value), Math.floor(limits.side / unit) * unit);
  return w >= h ? { width: long((size * w) / h), height: size } : { width: size, height: long((size * h) / w) };
}

export function SizeField() {
  const { settings } = useStudio();
  const { unit = 64 } = studio.model ?? {};
  const { width, height } = settings;
  return (
    <fieldset className="field">
      <legend className="visually-hidden">Size</legend>
      <div className="field-head">
        <span className="label">Size</span>
        <span className="size">
          <NumberInput
            label="Width in pixels"
            value={width}
            min={unit}
            max={limits.side}
            step={unit}
            onChange={(value) => studio.change({ width: value })}
          />
          <span aria-hidden="true">×</span>
          <NumberInput
            label="Height in pixels"
            value={height}
            min={unit}
            max={limits.side}
            step={unit}
            onChange={(value) => studio.change({ height: value })}
          />
        </span>
      </div>
      <ShapeButtons />
    </fieldset>
  );
}

function ShapeButtons() {
  const { settings, task, initial } = useStudio();
  const { width, height } = settings;
  const model = studio.model ?? {};
  const given = useSidesOf(task === 'txt2img' ? undefined : initial);
  const ofGiven = given && shapeOf(given.width, given.height, model);
  const isShape = (sides: Sides): boolean =>
    shapes.some(([, w, h]) => {
      const shape = shapeOf(w, h, model);
      return shape.width === sides.width && shape.height === sides.height;
    });
  const asGiven = ofGiven && !isShape(ofGiven) ? ofGiven : undefined;
  return (
    <div className="shapes">
      {shapes.map(([label, w, h]) => {
        const shape = shapeOf(w, h, model);
        const chosen = shape.width === width && shape.height === height;
        return (
          <button
            key={label}
            type="button"
            className="shape"
            aria-pressed={chosen}
            onClick={() => studio.change(shape)}
          >
            <span className="shape-box" style={{ aspectRatio: `${w} / ${h}` }} aria-hidden="true" />
            {label}
          </button>
        );
      })}
      <button
        type="button"
        className="shape icon-only"
        aria-label="Swap width and height"
        title="Swap width and height"
        onClick={() => studio.change({ width: height, height: width })}
      >
        <Icon name="swap" />
      </button>
      {asGiven && (
        <button
          type="button"
          className="shape as-given"
          aria-pressed={asGiven.width === width && asGiven.height === height}
          onClick={() => studio.change(asGiven)}
        >
          As the picture given: {asGiven.width} × {asGiven.height}
        </button>
      )}
    </div>
  );
}
