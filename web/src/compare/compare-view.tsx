/** Two pictures side by side, or one over the other with a draggable divider, and the differences of their settings. */

import { useState } from 'react';
import { type Picture, urlOf } from '../history/picture-database.ts';
import { Segments } from '../settings/fields.tsx';
import { settingRows } from '../settings/settings.ts';
import { Icon } from '../shell/icons.tsx';
import { studio, useStudio } from '../studio.ts';
import { Curtain } from './curtain.tsx';
import { ZoomedPicture, type Zoom } from './zoomed-picture.tsx';

type Manner = 'beside' | 'curtain';
type Side = 0 | 1;
const sides = ['Left', 'Right'] as const;

function Differences({ pair }: { readonly pair: readonly [Picture, Picture] }) {
  const [a, b] = pair.map(
    (picture) =>
      new Map([
        ...settingRows(picture.settings, picture.task),
        ['Model', picture.model],
        ['Time', `${picture.seconds.toFixed(1)} s`],
      ] as const),
  );
  const labels = [...new Set([...(a?.keys() ?? []), ...(b?.keys() ?? [])])];
  return (
    <table className="differences">
      <thead>
        <tr>
          <th scope="col">
            <span className="visually-hidden">Setting</span>
          </th>
          {sides.map((side) => (
            <th key={side} scope="col">
              {side}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {labels.map((label) => {
          const [left, right] = [a?.get(label) ?? '–', b?.get(label) ?? '–'];
          return (
            <tr key={label} data-differs={left !== right}>
              <th scope="row">{label}</th>
              <td>{left || '–'}</td>
              <td>{right || '–'}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

/** The pictures to choose from; the chosen one goes to the side that is waiting. */
function Tray({ side, onChoose }: { readonly side: Side; readonly onChoose: (id: string) => void }) {
  const { history, compared } = useStudio();
  return (
    <nav className="tray" aria-label={`Picture for the ${sides[side].toLowerCase()} side`}>
      <ul>
        {history.slice(0, 60).map((picture) => {
          const on = compared.indexOf(picture.id);
          return (
            <li key={picture.id}>
              <button
                type="button"
                aria-label={`${sides[side]}: ${picture.settings.prompt || 'picture'}, seed ${picture.settings.seed}`}
                aria-pressed={on === side}
                onClick={() => onChoose(picture.id)}
              >
                <img src={urlOf(picture.file)} alt="" loading="lazy" decoding="async" />
                {on >= 0 && (
                  <span className="tray-side" aria-hidden="true">
                    {sides[on as Side].slice(0, 1)}
                  </span>
                )}
              </button>
            </li>
          );
        })}
      </ul>
    </nav>
  );
}

export function CompareView() {
  const { history, compared } = useStudio();
  const [manner, setManner] = useState<Manner>('beside');
  const [waiting, setWaiting] = useState<Side>(compared[0] ? 1 : 0);
  const [zoom, setZoom] = useState<Zoom>({ scale: 1, x: 0, y: 0 });
  const pictures = compared.map((id) => history.find((picture) => picture.id === id));
  const [left, right] = pictures;
  if (history.length === 0) {
    return (
      <div className="compare">
        <div className="invitation">
          <Icon name="compare" />
          <h1>Two pictures side by side.</h1>
          <p>Make two first, then choose them here.</p>
          <button type="button" onClick={() => studio.set({ view: 'create' })}>
            Make one
          </button>
        </div>
      </div>
    );
  }
  const choose = (id: string): void => {
    studio.set({ compared: waiting === 0 ? [id, compared[1]] : [compared[0], id] });
    setWaiting(waiting === 0 ? 1 : 0);
  };
  return (
    <div className="compare">
      <div className="compare-head">
        <h1>Compare</h1>
        <Segments<Manner>
          legend="Manner"
          name="manner"
          value={manner}
          options={[
            ['beside', 'Side by side'],
            ['curtain', 'Curtain'],
          ]}
          onChange={setManner}
        />
        <label className="zoom">
          <span>Zoom</span>
          <input
            type="range"
            min={1}
            max={8}
            step={0.25}
            value={zoom.scale}
            style={{ '--at': `${((zoom.scale - 1) / 7) * 100}%` } as React.CSSProperties}
            onChange={(event) =>
              setZoom({
                ...zoom,
                scale: event.target.valueAsNumber,
                ...(event.target.valueAsNumber === 1 ? { x: 0, y: 0 } : {}),
              })
            }
          />
        </label>
        <button
          type="button"
          className="quiet"
          disabled={!left || !right}
          onClick={() => studio.set({ compared: [compared[1], compared[0]] })}
        >
          <Icon name="swap" /> Swap
        </button>
      </div>
      {manner === 'curtain' && left && right ? (
        <Curtain left={left} right={right} zoom={zoom} onZoom={setZoom} />
      ) : (
        <div className="compare-pair">
          {pictures.map((picture, i) => (
            <section key={sides[i]} aria-label={`${sides[i]} picture`} data-waiting={waiting === i}>
              {picture ? (
                <ZoomedPicture picture={picture} zoom={zoom} onZoom={setZoom} />
              ) : (
                <p className="compare-empty">Choose a picture below</p>
              )}
              <button
                type="button"
                className="quiet small"
                aria-pressed={waiting === i}
                onClick={() => setWaiting(i as Side)}
              >
                {sides[i]}
                {waiting === i ? ': choose below' : ''}
              </button>
            </section>
          ))}
        </div>
      )}
      <Tray side={waiting} onChoose={choose} />
      {left && right && <Differences pair={[left, right]} />}
    </div>
  );
}
