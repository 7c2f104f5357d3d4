/** The initial picture with a frame whose sides can be dragged outwards: what is added there is painted (outpainting). */

import { useRef, useState } from 'react';
import { urlOf } from '../history/picture-database.ts';
import { addedStep, mostAdded } from '../settings/extra-fields.ts';
import type { Settings } from '../settings/settings.ts';
import { studio, useStudio } from '../studio.ts';
import { sheetOf } from './sheet.ts';

const sides = ['left', 'right', 'up', 'down'] as const;
type Side = (typeof sides)[number];
type Added = Readonly<Record<Side, number>>;

const addedIn = ({ extra }: Settings): Added => {
  const [left, right, up, down] = sides.map((side) => Number(extra[`outpaint.${side}`] ?? 0));
  return { left: left ?? 0, right: right ?? 0, up: up ?? 0, down: down ?? 0 };
};

function extend(side: Side, pixels: number): void {
  const value = Math.min(mostAdded, Math.max(0, Math.round(pixels / addedStep) * addedStep));
  const { [`outpaint.${side}`]: _, ...others } = studio.state.settings.extra;
  studio.change({ extra: value === 0 ? others : { ...others, [`outpaint.${side}`]: value } });
}

interface Drag {
  readonly side: Side;
  readonly pointer: number;
  /** Along the side's axis, in pixels of the screen. */
  readonly from: number;
  readonly pixels: number;
  /** Pixels of the picture in one of the screen, as the drag began: the frame shrinks while it grows. */
  readonly scale: number;
}

const isAcross = (side: Side): boolean => side === 'left' || side === 'right';
const grows = (side: Side): 1 | -1 => (side === 'right' || side === 'down' ? 1 : -1);

/** Pixels by the arrow keys: outwards is more. */
function stepOf(side: Side, key: string): number {
  const outwards = { left: 'ArrowLeft', right: 'ArrowRight', up: 'ArrowUp', down: 'ArrowDown' }[side];
  const inwards = { left: 'ArrowRight', right: 'ArrowLeft', up: 'ArrowDown', down: 'ArrowUp' }[side];
  return key === outwards ? addedStep : key === inwards ? -addedStep : 0;
}

export function ExtendFrame({ image }: { readonly image: Blob }) {
  const { settings } = useStudio();
  const frame = useRef<HTMLDivElement>(null);
  const drag = useRef<Drag>(undefined);
  const [size, setSize] = useState<{ readonly width: number; readonly height: number }>();
  const added = addedIn(settings);
  const isExtended = sides.some((side) => added[side] > 0);
  // Without an extension the picture is cut to the size that is made.
  const inner = isExtended && size ? size : { width: settings.width || 1, height: settings.height || 1 };
  const whole = {
    width: inner.width + added.left + added.right,
    height: inner.height + added.up + added.down,
  };
  const share = (part: number, of: number): string => `${(100 * part) / of}%`;
  const move = (event: React.PointerEvent): void => {
    const { current } = drag;
    if (!current || current.pointer !== event.pointerId) return;
    const now = isAcross(current.side) ? event.clientX : event.clientY;
    extend(current.side, current.pixels + (now - current.from) * grows(current.side) * current.scale);
  };
  const end = (event: React.PointerEvent): void => {
    if (drag.current?.pointer === event.pointerId) drag.current = undefined;
  };
  return (
    <div className="sheet" style={sheetOf(1, { width: whole.width, height: whole.height })}>
      <div ref={frame} className="extend-frame" style={{ aspectRatio: `${whole.width} / ${whole.height}` }}>
        <img
          className="beginning"
          src={urlOf(image)}
          alt="Starting point"
          onLoad={({ currentTarget: { naturalWidth: width, naturalHeight: height } }) => setSize({ width, height })}
          style={{
            left: share(added.left, whole.width),
            top: share(added.up, whole.height),
            width: share(inner.width, whole.width),
            height: share(inner.height, whole.height),
          }}
        />
        {sides.map((side) => (
          <button
            key={side}
            type="button"
            role="slider"
            className="extend-handle"
            data-side={side}
            aria-label={`Drag to extend ${side}`}
            title="Drag outwards to extend the picture"
            aria-valuemin={0}
            aria-valuemax={mostAdded}
            aria-valuenow={added[side]}
            aria-valuetext={`${added[side]} pixels`}
            aria-orientation={isAcross(side) ? 'horizontal' : 'vertical'}
            onKeyDown={(event) => {
              const step = stepOf(side, event.key);
              if (step === 0) return;
              event.preventDefault();
              extend(side, added[side] + step);
            }}
            onPointerDown={(event) => {
              const box = frame.current?.getBoundingClientRect();
              if (!box || event.button > 0 || drag.current) return;
              event.currentTarget.setPointerCapture(event.pointerId);
              drag.current = {
                side,
                pointer: event.pointerId,
                from: isAcross(side) ? event.clientX : event.clientY,
                pixels: added[side],
                scale: whole.width / Math.max(1, box.width),
              };
            }}
            onPointerMove={move}
            onPointerUp={end}
            onPointerCancel={end}
          >
            {added[side] > 0 && <span>+{added[side]}</span>}
          </button>
        ))}
      </div>
    </div>
  );
}
