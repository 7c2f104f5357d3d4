/** The mask painter: brush and eraser, with mouse, pen or finger, and undo. The mask is a PNG, white on black. */

import { useCallback, useEffect, useRef, useState } from 'react';
import { urlOf } from '../history/picture-database.ts';
import { maskFile } from './mask-file.ts';
import { usePaperView } from './paper-view.ts';
import { useMaskHistory } from './mask-history.ts';
import { drawStroke, fillArea, invertSheet, type Point, pressureOf } from './mask-stroke.ts';
import { MaskToolbar, type Tool, useMaskKeys } from './mask-toolbar.tsx';

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
  const [tool, setTool] = useState<Tool>('brush');
  const [size, setSize] = useState(18);
  const paper = useCallback(() => canvas.current?.getContext('2d', { willReadFrequently: true }) ?? undefined, []);
  const tell = useCallback(async () => {
    if (canvas.current) onMask(await maskFile(canvas.current));
  }, [onMask]);
  const history = useMaskHistory(paper, { width, height }, tell);
  const { undo, redo } = history;
  const view = usePaperView(image, tool === 'hand');

  // Another picture or size: a new sheet.
  // biome-ignore lint/correctness/useExhaustiveDependencies: it happens when the picture or the size changes, and only then
  useEffect(() => {
    paper()?.clearRect(0, 0, width, height);
    history.reset();
    onMask(undefined);
  }, [image, width, height]);

  const change = (work: (sheet: CanvasRenderingContext2D) => void): void => {
    const sheet = paper();
    if (!sheet) return;
    history.remember();
    sheet.save();
    work(sheet);
    sheet.restore();
    void tell();
  };
  const tools = {
    tool,
    onTool: setTool,
    size,
    onSize: setSize,
    steps: history.steps,
    undo,
    redo,
    invert: () => change(invertSheet),
    clear: () => change((sheet) => sheet.clearRect(0, 0, width, height)),
  };
  useMaskKeys(disabled, tools);

  return (
    <div className="painter">
      <div
        ref={view.frame}
        className="painter-sheet"
        data-tool={tool}
        style={{ aspectRatio: `${width} / ${height}`, '--ratio': width / height } as React.CSSProperties}
        {...view.handlers}
      >
        <div className="painter-paper" style={view.style}>
          <img src={urlOf(image)} alt="The painted part will be regenerated" draggable={false} />
          <PaintedSheet
            canvas={canvas}
            width={width}
            height={height}
            disabled={disabled || tool === 'hand'}
            tool={tool}
            zoom={view.scale}
            diameter={(Math.min(width, height) * size) / 100}
            onBegin={history.remember}
            onEnd={tell}
          />
        </div>
      </div>
      <MaskToolbar {...tools} scale={view.scale} onZoom={view.zoom} onFit={view.fit} />
    </div>
  );
}

interface PaintedSheetProps {
  readonly canvas: React.RefObject<HTMLCanvasElement | null>;
  readonly width: number;
  readonly height: number;
  readonly disabled: boolean;
  readonly tool: Tool;
  /** How much larger than it fits it is shown. */
  readonly zoom: number;
  /** Of the brush, in pixels of the mask. */
  readonly diameter: number;
  readonly onBegin: () => void;
  readonly onEnd: () => void;
}

/** The canvas over the picture, and the brush's outline under the pointer. */
function PaintedSheet({ canvas, width, height, disabled, tool, zoom, diameter, onBegin, onEnd }: PaintedSheetProps) {
  const cursor = useRef<HTMLDivElement>(null);
  const outline = useRef<SVGPolygonElement>(null);
  /** The lasso's line so far. */
  const line = useRef<Point[]>([]);
  const last = useRef<Point>(undefined);
  /** The pointer that paints; further fingers are ignored. */
  const painting = useRef<number>(undefined);
  const boxOf = (): { left: number; top: number; width: number; height: number } =>
    canvas.current?.getBoundingClientRect() ?? { left: 0, top: 0, width: 1, height: 1 };

  const stroke = (event: PointerEvent): void => {
    const paper = canvas.current?.getContext('2d', { willReadFrequently: true });
    if (!paper) return;
    const box = boxOf();
    const to = {
      x: ((event.clientX - box.left) / box.width) * width,
      y: ((event.clientY - box.top) / box.height) * height,
    };
    if (tool === 'hand') return;
    if (tool === 'lasso') {
      line.current.push(to);
      outline.current?.setAttribute('points', line.current.map(({ x, y }) => `${x},${y}`).join(' '));
      return;
    }
    drawStroke(paper, { from: last.current ?? to, to, tool, width: diameter * pressureOf(event) });
    last.current = to;
  };
  const release = ({ pointerId, altKey }: React.PointerEvent): void => {
    if (painting.current !== pointerId) return;
    painting.current = undefined;
    const paper = canvas.current?.getContext('2d', { willReadFrequently: true });
    if (paper && line.current.length > 2) fillArea(paper, line.current, altKey);
    line.current = [];
    outline.current?.setAttribute('points', '');
    onEnd();
  };
  const follow = (event: React.PointerEvent): void => {
    if (!cursor.current) return;
    const box = boxOf();
    const pixels = (diameter / width) * box.width;
    // The cursor lies on the paper, which is enlarged with it.
    Object.assign(cursor.current.style, {
      width: `${pixels / zoom}px`,
      height: `${pixels / zoom}px`,
      borderWidth: `${1.5 / zoom}px`,
      translate: `${(event.clientX - box.left - pixels / 2) / zoom}px ${(event.clientY - box.top - pixels / 2) / zoom}px`,
      opacity: event.pointerType === 'touch' || tool === 'hand' || tool === 'lasso' ? '0' : '1',
    });
  };
  return (
    <>
      <canvas
        ref={canvas}
        width={width}
        height={height}
        aria-label="Mask: paint with a pointer"
        role="img"
        onPointerDown={(event) => {
          if (disabled || event.button > 0 || event.defaultPrevented || painting.current !== undefined) return;
          painting.current = event.pointerId;
          event.currentTarget.setPointerCapture(event.pointerId);
          onBegin();
          last.current = undefined;
          stroke(event.nativeEvent);
        }}
        onPointerMove={(event) => {
          follow(event);
          if (painting.current !== event.pointerId) return;
          const coalesced = event.nativeEvent.getCoalescedEvents?.() ?? [];
          for (const one of coalesced.length > 0 ? coalesced : [event.nativeEvent]) stroke(one);
        }}
        onPointerUp={release}
        onPointerCancel={release}
        onPointerLeave={() => cursor.current?.style.setProperty('opacity', '0')}
      />
      <svg className="painter-outline" viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" aria-hidden="true">
        <polygon ref={outline} vectorEffect="non-scaling-stroke" />
      </svg>
      <div ref={cursor} className="painter-cursor" aria-hidden="true" />
    </>
  );
}
