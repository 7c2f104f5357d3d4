/** Strokes of the mask painter, in pixels of the mask. */

import type { Tool } from './mask-toolbar.tsx';

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Stroke {
  readonly from: Point;
  readonly to: Point;
  readonly tool: Exclude<Tool, 'hand' | 'lasso'>;
  readonly width: number;
}

/** Seldom the colour of what lies beneath. */
const tint = '#5b3df5';

export function drawStroke(paper: CanvasRenderingContext2D, { from, to, tool, width }: Stroke): void {
  paper.globalCompositeOperation = tool === 'brush' ? 'source-over' : 'destination-out';
  paper.strokeStyle = tint;
  paper.lineCap = 'round';
  paper.lineJoin = 'round';
  paper.lineWidth = width;
  paper.beginPath();
  paper.moveTo(from.x, from.y);
  // A line without length draws nothing.
  paper.lineTo(to.x + (from.x === to.x && from.y === to.y ? 0.01 : 0), to.y);
  paper.stroke();
}

/** Paints what a line encloses, or erases it. */
export function fillArea(paper: CanvasRenderingContext2D, line: readonly Point[], erases: boolean): void {
  paper.globalCompositeOperation = erases ? 'destination-out' : 'source-over';
  paper.fillStyle = tint;
  paper.beginPath();
  for (const { x, y } of line) paper.lineTo(x, y);
  paper.closePath();
  paper.fill();
}

/** Paints what is free, and frees what is painted. */
export function invertSheet(paper: CanvasRenderingContext2D): void {
  paper.globalCompositeOperation = 'source-out';
  paper.fillStyle = tint;
  paper.fillRect(0, 0, paper.canvas.width, paper.canvas.height);
}

/** The factor of the brush's width: a pen's pressure, else 1. */
export function pressureOf(event: { readonly pointerType: string; readonly pressure: number }): number {
  return event.pointerType === 'pen' ? 0.4 + event.pressure * 0.9 : 1;
}
