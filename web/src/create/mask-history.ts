/** Undo and redo of the mask painter: whole sheets, the last forty. */

import { type RefObject, useCallback, useRef, useState } from 'react';

const mostUndo = 40;

export interface MaskHistory {
  /** How many steps can be undone and redone. */
  readonly steps: { readonly undo: number; readonly redo: number };
  /** Keeps the sheet as it is, before it changes. */
  readonly remember: () => void;
  readonly undo: () => void;
  readonly redo: () => void;
  /** Forgets everything: a new sheet. */
  readonly reset: () => void;
}

/** @param paper the sheet, of width x height pixels; `onChange` is called after undo and redo */
export function useMaskHistory(
  paper: () => CanvasRenderingContext2D | undefined,
  { width, height }: { readonly width: number; readonly height: number },
  onChange: () => void,
): MaskHistory {
  const undone = useRef<ImageData[]>([]);
  const done = useRef<ImageData[]>([]);
  const [steps, setSteps] = useState({ undo: 0, redo: 0 });
  const sheet = useCallback(() => paper()?.getImageData(0, 0, width, height), [paper, width, height]);

  const remember = useCallback(() => {
    const now = sheet();
    if (now) done.current = [...done.current.slice(1 - mostUndo), now];
    undone.current = [];
    setSteps({ undo: done.current.length, redo: 0 });
  }, [sheet]);

  const step = useCallback(
    (from: RefObject<ImageData[]>, to: RefObject<ImageData[]>) => {
      const now = sheet();
      const before = from.current.pop();
      if (!now || !before) return;
      to.current.push(now);
      paper()?.putImageData(before, 0, 0);
      setSteps({ undo: done.current.length, redo: undone.current.length });
      onChange();
    },
    [paper, sheet, onChange],
  );
  const undo = useCallback(() => step(done, undone), [step]);
  const redo = useCallback(() => step(undone, done), [step]);
  const reset = useCallback(() => {
    done.current = [];
    undone.current = [];
    setSteps({ undo: 0, redo: 0 });
  }, []);
  return { steps, remember, undo, redo, reset };
}
