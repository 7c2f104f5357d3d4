/**
 * Grids of pictures with legends, laid out as A1111's `draw_grid_annotations` and `draw_prompt_matrix` (modules/images.py, v1.10.1): words
 * above the columns and left of the rows. How words are drawn comes in, since it differs by platform.
 */

import { demand, fieldsOf } from '../arguments.ts';
import { createImage, crop, type Image, paste } from './image.ts';

export interface LegendLine {
  readonly text: string;
  /** Inactive lines are grey and struck through. Default true. */
  readonly isActive?: boolean;
}

/** Measures and draws text in one font. */
export interface LegendFont {
  /** Width of a line in pixels at a font size. */
  measure(text: string, size: number): number;
  /** Draws lines over the picture, centred at their points. */
  draw(image: Image<3>, lines: readonly DrawnLine[]): Promise<Image<3>>;
}

export interface DrawnLine {
  readonly text: string;
  readonly size: number;
  /** Middle of the line. */
  readonly x: number;
  readonly y: number;
  readonly color: string;
  readonly isStruck: boolean;
  readonly width: number;
}

export interface Legend {
  /** Lines above each column, and left of each row. */
  readonly columns: readonly (readonly LegendLine[])[];
  readonly rows: readonly (readonly LegendLine[])[];
  /** Pixels between the cells. Default 0. */
  readonly margin?: number | undefined;
}

/** Words in lines of at most `width` pixels; a word that is longer has its own line. */
function wrap(text: string, width: number, size: number, font: LegendFont): string[] {
  const lines = [''];
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const longer = `${lines.at(-1)} ${word}`.trim();
    if (font.measure(longer, size) <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines.filter((line, i) => i > 0 || line !== '' || lines.length === 1);
}

/** Cells without legend, side by side, in rows of `columns`. Cells that are missing stay black. */
export function plainGrid(cells: readonly (Image<3> | undefined)[], columns: number, margin = 0): Image<3> {
  const first = cells.find((cell) => cell !== undefined) ?? createImage(1, 1, 3);
  const rows = Math.ceil(cells.length / columns);
  const [width, height] = [first.width + margin, first.height + margin];
  const grid = createImage(columns * width - margin, rows * height - margin, 3);
  if (margin > 0) grid.data.fill(255);
  const black = createImage(first.width, first.height, 3);
  for (const [i, cell] of cells.entries()) {
    const fitted = cell ? crop(cell, 0, 0, first.width, first.height) : black;
    paste(grid, fitted, (i % columns) * width, Math.floor(i / columns) * height);
  }
  return grid;
}

interface Block {
  readonly lines: readonly LegendLine[];
  readonly height: number;
}

/** The cells with their legend. `cell` is the size of one of them. */
export async function legendGrid(
  cells: readonly (Image<3> | undefined)[],
  legend: Legend,
  font: LegendFont,
): Promise<Image<3>> {
  demand(Array.isArray(cells), 'The cells of a grid', 'a list of pictures', cells);
  fieldsOf(legend, 'The legend', 'an object with columns and rows');
  demand(font?.draw !== undefined, 'The font of a legend', 'what legendFont gives', font);
  const { columns, rows, margin = 0 } = legend;
  const grid = plainGrid(cells, columns.length, margin);
  const width = (grid.width + margin) / columns.length - margin;
  const height = (grid.height + margin) / rows.length - margin;
  const size = Math.max(1, Math.floor((width + height) / 25));
  const [lineHeight, gap] = [size, Math.floor(size / 2)];
  const blockOf = (lines: readonly LegendLine[], room: number): Block => {
    const wrapped = lines.flatMap((line) => wrap(line.text, room, size, font).map((text) => ({ ...line, text })));
    return { lines: wrapped, height: wrapped.length * (lineHeight + gap) - gap };
  };
  const isEmpty = (blocks: Legend['rows']): boolean => blocks.every((lines) => lines.every(({ text }) => text === ''));
  const left = isEmpty(rows) ? 0 : Math.floor((width * 3) / 4);
  const above = columns.map((lines) => blockOf(lines, width));
  const beside = rows.map((lines) => blockOf(lines, left));
  const top = isEmpty(columns) ? 0 : Math.max(...above.map((block) => block.height)) + 2 * gap;
  const result = createImage(grid.width + left, grid.height + top, 3);
  result.data.fill(255);
  paste(result, grid, left, top);
  const placed = ({ lines, height: tall }: Block, x: number, y: number, room: number): DrawnLine[] =>
    lines.map(({ text, isActive = true }, i) => {
      const own = font.measure(text, size);
      const fitted = own > room && own > 0 ? Math.max(1, Math.floor((size * room) / own)) : size;
      return {
        text,
        size: fitted,
        x,
        y: y - tall / 2 + i * (lineHeight + gap) + lineHeight / 2,
        color: isActive ? '#000000' : '#999999',
        isStruck: !isActive,
        width: Math.min(own, room),
      };
    });
  const drawn = [
    ...(top > 0
      ? above.flatMap((block, i) => placed(block, left + (width + margin) * i + width / 2, top / 2, width))
      : []),
    ...(left > 0
      ? beside.flatMap((block, i) => placed(block, left / 2, top + (height + margin) * i + height / 2, left))
      : []),
  ].filter(({ text }) => text !== '');
  return drawn.length > 0 ? font.draw(result, drawn) : result;
}

/** Legends of a prompt matrix: of each cell the parts that its prompt has; the others are struck through. */
export function matrixLegend(parts: readonly string[]): Pick<Legend, 'columns' | 'rows'> {
  demand(Array.isArray(parts), 'The parts of a prompt matrix', 'a list of texts', parts);
  const half = Math.ceil(parts.length / 2);
  const lines = (own: readonly string[]): LegendLine[][] =>
    Array.from({ length: 2 ** own.length }, (_, chosen) =>
      own.map((text, i) => ({ text, isActive: Math.floor(chosen / 2 ** i) % 2 === 1 })),
    );
  return { columns: lines(parts.slice(0, half)), rows: lines(parts.slice(half)) };
}
