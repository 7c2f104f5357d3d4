/** The tools of the mask painter, and their keys. */

import { useEffect } from 'react';
import { Icon, type IconName } from '../shell/icons.tsx';

/** The lasso paints what it encloses; the hand moves a picture that is larger than its frame. */
export type Tool = 'brush' | 'eraser' | 'lasso' | 'hand';

export interface MaskToolbarProps {
  readonly tool: Tool;
  readonly onTool: (tool: Tool) => void;
  /** Percent of the picture's shorter side. */
  readonly size: number;
  readonly onSize: (change: (size: number) => number) => void;
  readonly steps: { readonly undo: number; readonly redo: number };
  readonly undo: () => void;
  readonly redo: () => void;
  readonly invert: () => void;
  readonly clear: () => void;
  /** How much larger than it fits the picture is shown. */
  readonly scale: number;
  readonly onZoom: (factor: number) => void;
  readonly onFit: () => void;
}

const zoomStep = 1.5;

interface ToolButtonProps {
  readonly label: string;
  readonly title?: string;
  readonly icon: IconName;
  readonly pressed?: boolean;
  readonly disabled?: boolean;
  readonly onClick: () => void;
}

function ToolButton({ label, title = label, icon, pressed, disabled, onClick }: ToolButtonProps) {
  return (
    <button
      type="button"
      className="icon-only"
      aria-label={label}
      title={title}
      aria-pressed={pressed}
      disabled={disabled}
      onClick={onClick}
    >
      <Icon name={icon} />
    </button>
  );
}

export function MaskToolbar({
  tool,
  onTool,
  size,
  onSize,
  steps,
  undo,
  redo,
  invert,
  clear,
  ...view
}: MaskToolbarProps) {
  const { scale, onZoom, onFit } = view;
  return (
    <div className="toolbar" role="toolbar" aria-label="Mask">
      <ToolButton label="Brush (B)" icon="brush" pressed={tool === 'brush'} onClick={() => onTool('brush')} />
      <ToolButton label="Eraser (E)" icon="eraser" pressed={tool === 'eraser'} onClick={() => onTool('eraser')} />
      <ToolButton
        label="Lasso (L)"
        title="Lasso (L): paints what you enclose; with Alt it erases"
        icon="lasso"
        pressed={tool === 'lasso'}
        onClick={() => onTool('lasso')}
      />
      <ToolButton label="Move the picture (H)" icon="hand" pressed={tool === 'hand'} onClick={() => onTool('hand')} />
      <input
        type="range"
        aria-label="Brush size"
        title="Brush size ([ and ])"
        min={2}
        max={80}
        value={size}
        style={{ '--at': `${((size - 2) / 78) * 100}%` } as React.CSSProperties}
        onChange={(event) => {
          const value = event.target.valueAsNumber;
          onSize(() => value);
        }}
      />
      <span className="divider" />
      <ToolButton label="Undo" title="Undo (Ctrl Z)" icon="undo" disabled={steps.undo === 0} onClick={undo} />
      <ToolButton label="Redo" title="Redo (Ctrl Shift Z)" icon="redo" disabled={steps.redo === 0} onClick={redo} />
      <ToolButton label="Invert the mask" title="Invert" icon="invert" onClick={invert} />
      <ToolButton label="Clear the mask" title="Clear" icon="trash" onClick={clear} />
      <span className="divider" />
      <ToolButton label="Zoom out" icon="zoomOut" disabled={scale <= 1} onClick={() => onZoom(1 / zoomStep)} />
      <ToolButton label="Zoom in" title="Zoom in (wheel)" icon="zoomIn" onClick={() => onZoom(zoomStep)} />
      <ToolButton label="The whole picture (0)" icon="fit" disabled={scale <= 1} onClick={onFit} />
    </div>
  );
}

/** The keys of the tools, while nobody types and no dialog is open. */
export function useMaskKeys(
  disabled: boolean,
  { onTool, onSize, undo, redo }: Pick<MaskToolbarProps, 'onTool' | 'onSize' | 'undo' | 'redo'>,
): void {
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
      else if (event.key === 'b') onTool('brush');
      else if (event.key === 'e') onTool('eraser');
      else if (event.key === 'l') onTool('lasso');
      else if (event.key === 'h') onTool('hand');
      else if (event.key === '[') onSize((value) => Math.max(2, value - 4));
      else if (event.key === ']') onSize((value) => Math.min(80, value + 4));
    };
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  }, [disabled, onTool, onSize, undo, redo]);
}
