/** An X/Y grid: the settings of the form, with one or two of them varied. */

import { useState } from 'react';
import { Preview } from '../create/preview.tsx';
import { Progress } from '../create/progress.tsx';
import { PictureViewer } from '../gallery/picture-viewer.tsx';
import { download, urlOf } from '../history/picture-database.ts';
import { SelectField } from '../settings/fields.tsx';
import { Icon } from '../shell/icons.tsx';
import { studio, useStudio } from '../studio.ts';
import { type AxisName, axes, axesFor } from './axes.ts';
import { gridPicture } from './grid-picture.ts';
import { type AxisChoice, type Grid, makeGrid } from './grid-run.ts';

function AxisFields({
  label,
  axis,
  onChange,
}: {
  readonly label: string;
  readonly axis: AxisChoice;
  readonly onChange: (axis: AxisChoice) => void;
}) {
  const { task, engine, settings } = useStudio();
  const { samplers = [], schedules = [], models = [] } = engine?.facts ?? {};
  const start = (name: AxisName): string =>
    axes[name].start({ settings, samplers, schedules, models: models.map((model) => model.name) });
  return (
    <div className="axis">
      <SelectField
        label={label}
        value={axis.name}
        options={axesFor(task).map((name) => [name, axes[name].label])}
        onChange={(value) => {
          const name = axesFor(task).find((candidate) => candidate === value) ?? 'none';
          onChange({ name, text: start(name) });
        }}
      />
      <input
        type="text"
        aria-label={`Values of ${label.toLowerCase()}`}
        placeholder={axes[axis.name].hint}
        disabled={axis.name === 'none'}
        value={axis.text}
        onChange={(event) => onChange({ ...axis, text: event.target.value })}
      />
    </div>
  );
}

interface CellProps {
  readonly cell: Grid['cells'][number];
  readonly name: string;
  readonly ratio: number;
  readonly preview: ImageBitmap | undefined;
  readonly active: boolean;
  readonly onOpen: (id: string) => void;
}

function Cell({ cell, name, ratio, preview, active, onOpen }: CellProps) {
  if (cell === undefined) return <Preview bitmap={preview} active={active} width={ratio} height={1} />;
  if (typeof cell === 'string')
    return (
      <p className="grid-failure" title={cell} style={{ aspectRatio: String(ratio) }}>
        {cell}
      </p>
    );
  return (
    <button type="button" aria-label={`Open ${name}`} onClick={() => onOpen(cell.id)}>
      <img src={urlOf(cell.file)} alt="" style={{ aspectRatio: String(ratio) }} />
    </button>
  );
}

function GridTable({ grid, onOpen }: { readonly grid: Grid; readonly onOpen: (id: string) => void }) {
  const { run } = useStudio();
  const { columns, rows, cells, ratio, running } = grid;
  const next = running ? cells.indexOf(undefined) : -1;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls can be reached with the keyboard
    <section className="grid-scroll" tabIndex={0} aria-label="Grid of pictures">
      <table className="grid-table" style={{ '--columns': columns.length, '--ratio': ratio } as React.CSSProperties}>
        <caption className="visually-hidden">{`${grid.prompt}: ${grid.columnLabel} across, ${grid.rowLabel} down`}</caption>
        <thead>
          <tr>
            <td />
            {columns.map(({ label }) => (
              <th key={label} scope="col">
                {label && (
                  <>
                    <small>{grid.columnLabel}</small> {label}
                  </>
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ label }, row) => (
            <tr key={label}>
              <th scope="row">
                {label && (
                  <>
                    <small>{grid.rowLabel}</small> {label}
                  </>
                )}
              </th>
              {columns.map((column, i) => {
                const at = row * columns.length + i;
                return (
                  <td key={column.label}>
                    <Cell
                      cell={cells[at]}
                      name={[column.label, label].filter(Boolean).join(', ')}
                      ratio={ratio}
                      preview={at === next ? run?.previews[0] : undefined}
                      active={at === next}
                      onOpen={onOpen}
                    />
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

export function GridView() {
  const {
    settings,
    grid,
    run,
    engine,
    axes: [x, y],
  } = useStudio();
  const [opened, setOpened] = useState<string>();
  const made = grid?.cells.filter((cell) => typeof cell === 'object') ?? [];
  return (
    <div className="grid">
      <h1>Grid</h1>
      <form
        className="grid-form"
        aria-label="What the grid varies"
        onSubmit={(event) => {
          event.preventDefault();
          void makeGrid(x, y);
        }}
      >
        <label className="stacked grid-prompt">
          <span>Prompt</span>
          <input
            type="text"
            value={settings.prompt}
            onChange={(event) => studio.change({ prompt: event.target.value })}
          />
        </label>
        <AxisFields label="Across" axis={x} onChange={(axis) => studio.set({ axes: [axis, y] })} />
        <AxisFields label="Down" axis={y} onChange={(axis) => studio.set({ axes: [x, axis] })} />
        <div className="grid-buttons">
          {grid && made.length > 0 && !grid.running && (
            <button type="button" onClick={async () => download(await gridPicture(grid), 'grid.png')}>
              <Icon name="download" /> Save as one
            </button>
          )}
          {run ? (
            <button type="button" className="primary stop" onClick={() => studio.stop()}>
              Stop
            </button>
          ) : (
            <button type="submit" className="primary" disabled={!engine}>
              Make the grid
            </button>
          )}
        </div>
      </form>
      {run && <Progress run={run} />}
      {grid ? (
        <GridTable grid={grid} onOpen={setOpened} />
      ) : (
        <p className="muted grid-hint">
          All other settings are those under Create. One seed is used for all, unless the seed is what varies.
        </p>
      )}
      <PictureViewer pictures={made} opened={opened} onOpen={setOpened} />
    </div>
  );
}
