/** Zoom and pan of the mask painter: the wheel zooms at the pointer; the hand, or the middle button with any tool, moves; two fingers of the hand pinch. */

import { type CSSProperties, type PointerEvent, type RefObject, useCallback, useEffect, useRef, useState } from 'react';

const most = 12;

interface View {
  readonly scale: number;
  /** Of the paper's corner from the frame's, in pixels of the screen. */
  readonly x: number;
  readonly y: number;
}

const whole: View = { scale: 1, x: 0, y: 0 };

/** Another scale, with the point of the frame where it is; the paper always covers the frame. */
function zoomed(view: View, factor: number, at: { readonly x: number; readonly y: number }, frame: DOMRect): View {
  const scale = Math.min(most, Math.max(1, view.scale * factor));
  const by = scale / view.scale;
  return within({ scale, x: at.x - (at.x - view.x) * by, y: at.y - (at.y - view.y) * by }, frame);
}

function within({ scale, x, y }: View, { width, height }: Pick<DOMRect, 'width' | 'height'>): View {
  const bound = (value: number, side: number): number => Math.min(0, Math.max(side * (1 - scale), value));
  return { scale, x: bound(x, width), y: bound(y, height) };
}

export interface PaperView {
  readonly frame: RefObject<HTMLDivElement | null>;
  readonly scale: number;
  readonly style: CSSProperties;
  /** Zooms at the middle. */
  readonly zoom: (factor: number) => void;
  readonly fit: () => void;
  readonly handlers: Pick<
    React.DOMAttributes<HTMLDivElement>,
    'onPointerDownCapture' | 'onPointerMove' | 'onPointerUp' | 'onPointerCancel'
  >;
}

interface Finger {
  readonly x: number;
  readonly y: number;
}

/** @param image another one is shown whole; `isHand`: the chosen tool moves the picture */
export function usePaperView(image: Blob, isHand: boolean): PaperView {
  const frame = useRef<HTMLDivElement>(null);
  const [view, setView] = useState(whole);
  const fingers = useRef(new Map<number, Finger>());
  const fit = useCallback(() => setView(whole), []);
  // biome-ignore lint/correctness/useExhaustiveDependencies: it happens when the picture changes
  useEffect(fit, [image]);
  const zoomAt = useCallback((factor: number, clientX?: number, clientY?: number) => {
    const box = frame.current?.getBoundingClientRect();
    if (!box) return;
    const at = {
      x: clientX === undefined ? box.width / 2 : clientX - box.left,
      y: clientY === undefined ? box.height / 2 : clientY - box.top,
    };
    setView((before) => zoomed(before, factor, at, box));
  }, []);
  useEffect(() => {
    const { current } = frame;
    // React's own listener could not keep the page from scrolling.
    const onWheel = (event: WheelEvent): void => {
      event.preventDefault();
      zoomAt(Math.exp(-event.deltaY / 400), event.clientX, event.clientY);
    };
    const onKey = (event: KeyboardEvent): void => {
      const isTyping = event.target instanceof HTMLElement && /^(input|textarea|select)$/i.test(event.target.tagName);
      if (event.key === '0' && !isTyping && !event.ctrlKey && !event.metaKey) fit();
    };
    current?.addEventListener('wheel', onWheel, { passive: false });
    document.addEventListener('keydown', onKey);
    return () => {
      current?.removeEventListener('wheel', onWheel);
      document.removeEventListener('keydown', onKey);
    };
  }, [zoomAt, fit]);
  const release = ({ pointerId }: PointerEvent): void => {
    fingers.current.delete(pointerId);
  };
  return {
    frame,
    scale: view.scale,
    style: { transform: `translate(${view.x}px, ${view.y}px) scale(${view.scale})` },
    zoom: zoomAt,
    fit,
    handlers: {
      onPointerDownCapture: (event) => {
        if (!isHand && event.button !== 1) return;
        event.preventDefault();
        event.currentTarget.setPointerCapture(event.pointerId);
        fingers.current.set(event.pointerId, { x: event.clientX, y: event.clientY });
      },
      onPointerMove: (event) => {
        const before = fingers.current.get(event.pointerId);
        const box = frame.current?.getBoundingClientRect();
        if (!before || !box) return;
        const now = { x: event.clientX, y: event.clientY };
        fingers.current.set(event.pointerId, now);
        const other = [...fingers.current].find(([id]) => id !== event.pointerId)?.[1];
        if (other) {
          const apart = (finger: Finger): number => Math.hypot(finger.x - other.x, finger.y - other.y);
          zoomAt(apart(now) / Math.max(1, apart(before)), (now.x + other.x) / 2, (now.y + other.y) / 2);
        } else setView(({ scale, x, y }) => within({ scale, x: x + now.x - before.x, y: y + now.y - before.y }, box));
      },
      onPointerUp: release,
      onPointerCancel: release,
    },
  };
}
