/** The mask painter: brush and eraser, with mouse, pen or finger, and undo. The mask is a PNG, white on black. */

import { useCallback, useEffect, useRef, useState } from 'react';
import { urlOf } from '../history/picture-database.ts';
import { Icon } from '../shell/icons.tsx';

type Tool = 'brush' | 'eraser';

interface Point {
  readonly x: number;
  readonly y: number;
}

/** Seldom the colour of what lies beneath. */
const tint = '#5b3df5';
const mostUndo = 40;

/** White where the canvas is painted, black elsewhere. */
async function maskFile(canvas: HTMLCanvasElement): Promise<Blob | undefined> {
  const { width, height } = canvas;
  const painted = canvas.getContext('2d')?.getImageData(0, 0, width, height);
  if (!painted) return undefined;
  let any = false;
  for (let i = 0; i < painted.data.length; i += 4) {
    const white = (painted.data[i + 3] as number) > 127 ? 255 : 0;
    any ||= white === 255;
    painted.data.fill(white, i, i + 3);
    painted.data[i + 3] = 255;
  }
  if (!any) return undefined;
  const out = new OffscreenCanvas(width, height);
  out.getContext('2d')?.putImageData(painted, 0, 0);
  return out.convertToBlob({ type: 'image/png' });
}

export interface MaskPainterProps {
  readonly image: Blob;
  /** Size of the mask in pixels: that of the picture to generate. */
  readonly width: number;
  readonly height: number;
  readonly disabled: boolean;
  readonly onMask: (mask: Blob | undefined) => void;
}

export function MaskPainter({ image, width, height, disabled, onMask }: MaskPainterProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const cursor = useRef<HTMLDivElement>(null);
  const last = useRef<Point>(undefined);
  /** The pointer that paints; further fingers are ignored. */
  const painting = useRef<number>(undefined);
  const undone = useRef<ImageData[]>([]);
  const done = useRef<ImageData[]>([]);
  const [tool, setTool] = useState<Tool>('brush');
  const [size, setSize] = useState(18);
  const [steps, setSteps] = useState({ undo: 0, redo: 0 });
  // Percent of the shorter side, in pixels of the mask.
  const diameter = (Math.min(width, height) * size) / 100;

  const context = useCallback(() => canvas.current?.getContext('2d', { willReadFrequently: true }) ?? undefined, []);
  const tell = useCallback(async () => {
    if (canvas.current) onMask(await maskFile(canvas.current));
  }, [onMask]);

  // Another picture or size: a new sheet.
  // biome-ignore lint/correctness/useExhaustiveDependencies: it happens when the picture or the size changes, and only then
  useEffect(() => {
    context()?.clearRect(0, 0, width, height);
    done.current = [];
    undone.current = [];
    setSteps({ undo: 0, redo: 0 });
    onMask(undefined);
  }, [image, width, height]);

  const remember = useCallback(() => {
    const now = context()?.getImageData(0, 0, width, height);
    if (now) done.current = [...done.current.slice(1 - mostUndo), now];
    undone.current = [];
    setSteps({ undo: done.current.length, redo: 0 });
  }, [context, width, height]);

  const step = useCallback(
    (from: React.RefObject<ImageData[]>, to: React.RefObject<ImageData[]>) => {
      const paper = context();
      const before = from.current.pop();
      if (!paper || !before) return;
      to.current.push(paper.getImageData(0, 0, width, height));
      paper.putImageData(before, 0, 0);
      setSteps({ undo: done.current.length, redo: undone.current.length });
      void tell();
    },
    [context, tell, width, height],
  );
  const undo = useCallback(() => step(done, undone), [step]);
  const redo = useCallback(() => step(undone, done), [step]);

  const change = (work: (paper: CanvasRenderingContext2D) => void): void => {
    const paper = context();
    if (!paper) return;
    remember();
    paper.save();
    work(paper);
    paper.restore();
    void tell();
  };
  const invert = (): void =>
    change((paper) => {
      paper.globalCompositeOperation = 'source-out';
      paper.fillStyle = tint;
      paper.fillRect(0, 0, width, height);
    });
  const clear = (): void => change((paper) => paper.clearRect(0, 0, width, height));

  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const { target } = event;
      const isTyping =
        target instanceof HTMLElement &&
        (target.isContentEditable || /^(input|textarea|select)$/i.test(target.tagName));
      if (disabled || isTyping || document.querySelector('dialog[open]')) return;
      const control = event.ctrlKey || event.metaKey;
      if (control && event.key.toLowerCase() === 'z') {
        event.preventDefault();
        if (event.shiftKey) redo();
        else undo();
      } else if (control) return;
      else if (event.key === 'b') setTool('brush');
      else if (event.key === 'e') setTool('eraser');
      else if (event.key === '[') setSize((value) => Math.max(2, value - 4));
      else if (event.key === ']') setSize((value) => Math.min(80, value + 4));
    };
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  }, [disabled, undo, redo]);

  const place = (event: { readonly clientX: number; readonly clientY: number }): Point => {
    const box = canvas.current?.getBoundingClientRect() ?? { left: 0, top: 0, width: 1, height: 1 };
    return {
      x: ((event.clientX - box.left) / box.width) * width,
      y: ((event.clientY - box.top) / box.height) * height,
    };
  };

  const stroke = (to: Point, pressure: number): void => {
    const paper = context();
    if (!paper) return;
    const from = last.current ?? to;
    paper.globalCompositeOperation = tool === 'brush' ? 'source-over' : 'destination-out';
    paper.strokeStyle = tint;
    paper.lineCap = 'round';
    paper.lineJoin = 'round';
    paper.lineWidth = diameter * pressure;
    paper.beginPath();
    paper.moveTo(from.x, from.y);
    paper.lineTo(to.x + (from.x === to.x && from.y === to.y ? 0.01 : 0), to.y);
    paper.stroke();
    last.current = to;
  };
  const pressureOf = (event: { readonly pointerType: string; readonly pressure: number }): number =>
    event.pointerType === 'pen' ? 0.4 + event.pressure * 0.9 : 1;

  const release = ({ pointerId }: React.PointerEvent): void => {
    if (painting.current !== pointerId) return;
    painting.current = undefined;
    void tell();
  };

  const follow = (event: React.PointerEvent): void => {
    const { current } = cursor;
    const box = canvas.current?.getBoundingClientRect();
    if (!current || !box) return;
    const pixels = (diameter / width) * box.width;
    Object.assign(current.style, {
      width: `${pixels}px`,
      height: `${pixels}px`,
      translate: `${event.clientX - box.left - pixels / 2}px ${event.clientY - box.top - pixels / 2}px`,
      opacity: event.pointerType === 'touch' ? '0' : '1',
    });
  };

  return (
    <div className="painter">
      <div
        className="painter-sheet"
        style={{ aspectRatio: `${width} / ${height}`, '--ratio': width / height } as React.CSSProperties}
      >
        <img src={urlOf(image)} alt="The painted part will be regenerated" draggable={false} />
        <canvas
          ref={canvas}
          width={width}
          height={height}
          aria-label="Mask: paint with a pointer"
          role="img"
          onPointerDown={(event) => {
            if (disabled || event.button > 0 || painting.current !== undefined) return;
            painting.current = event.pointerId;
            event.currentTarget.setPointerCapture(event.pointerId);
            remember();
            last.current = undefined;
            stroke(place(event), pressureOf(event));
          }}
          onPointerMove={(event) => {
            follow(event);
            if (painting.current !== event.pointerId) return;
            const coalesced = event.nativeEvent.getCoalescedEvents?.() ?? [];
            for (const one of coalesced.length > 0 ? coalesced : [event.nativeEvent])
              stroke(place(one), pressureOf(one));
          }}
          onPointerUp={release}
          onPointerCancel={release}
          onPointerLeave={() => cursor.current?.style.setProperty('opacity', '0')}
        />
        <div ref={cursor} className="painter-cursor" aria-hidden="true" />
      </div>
      <div className="toolbar" role="toolbar" aria-label="Mask">
        <button
          type="button"
          className="icon-only"
          aria-label="Brush (B)"
          title="Brush (B)"
          aria-pressed={tool === 'brush'}
          onClick={() => setTool('brush')}
        >
          <Icon name="brush" />
        </button>
        <button
          type="button"
          className="icon-only"
          aria-label="Eraser (E)"
          title="Eraser (E)"
          aria-pressed={tool === 'eraser'}
          onClick={() => setTool('eraser')}
        >
          <Icon name="eraser" />
        </button>
        <input
          type="range"
          aria-label="Brush size"
          title="Brush size ([ and ])"
          min={2}
          max={80}
          value={size}
          style={{ '--at': `${((size - 2) / 78) * 100}%` } as React.CSSProperties}
          onChange={(event) => setSize(event.target.valueAsNumber)}
        />
        <span className="divider" />
        <button
          type="button"
          className="icon-only"
          aria-label="Undo"
          title="Undo (Ctrl Z)"
          disabled={steps.undo === 0}
          onClick={undo}
        >
          <Icon name="undo" />
        </button>
        <button
          type="button"
          className="icon-only"
          aria-label="Redo"
          title="Redo (Ctrl Shift Z)"
          disabled={steps.redo === 0}
          onClick={redo}
        >
          <Icon name="redo" />
        </button>
        <button type="button" className="icon-only" aria-label="Invert the mask" title="Invert" onClick={invert}>
          <Icon name="invert" />
        </button>
        <button type="button" className="icon-only" aria-label="Clear the mask" title="Clear" onClick={clear}>
          <Icon name="trash" />
        </button>
      </div>
    </div>
  );
}
