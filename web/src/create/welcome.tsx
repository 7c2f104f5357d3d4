/** Before the first picture: what this is, and words to try with the small model. */

import { BrowserEngine } from '../engines/browser-engine.ts';
import { studio, useStudio } from '../studio.ts';

const ideas = ['grinning face', 'red apple', 'blue heart', 'cat face', 'green tree', 'birthday cake', 'yellow star'];

export function Welcome() {
  const { model, engine, historyLoaded } = useStudio();
  if (!historyLoaded) return null;
  return (
    <div className="welcome">
      <h2>Describe a picture.</h2>
      <p>
        It is made {engine instanceof BrowserEngine ? 'in this browser; nothing leaves your machine' : 'on your server'}
        .
      </p>
      {model.startsWith('pocket') && (
        <>
          <p className="small-model">
            The model that comes with the program is small and draws emoji only.{' '}
            {engine instanceof BrowserEngine
              ? 'Open a Stable Diffusion checkpoint of yours for photographs and scenes.'
              : 'For photographs and scenes start the server with a real model: sd serve --model sd-v1-5'}
          </p>
          <ul className="ideas" aria-label="Try one of these">
            {ideas.map((idea) => (
              <li key={idea}>
                <button
                  type="button"
                  onClick={() => {
                    studio.change({ prompt: idea });
                    void studio.make();
                  }}
                >
                  {idea}
                </button>
              </li>
            ))}
          </ul>
        </>
      )}
    </div>
  );
}
