// Opens a page in one frame per window, and writes what is found there into the document: pages run no script themselves.
const luminance = ([r, g, b]) => {
    const linear = [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
};
const numbers = colour => colour.match(/[\d.]+/g).map(Number);
const contrast = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
};

function behind(element, view) {
    for (let at = element; at; at = at.parentElement) {
        const colour = numbers(view.getComputedStyle(at).backgroundColor);
        if (colour.length === 3) return colour;
    }
    return [255, 255, 255];
}

function look(frame) {
    const page = frame.contentDocument, view = frame.contentWindow, root = page.documentElement, width = root.clientWidth;
    const all = [...page.querySelectorAll('body *')];
    const wide = all.filter(e => !e.closest('.scroll') && !e.closest('svg') && e.getBoundingClientRect().right > width + 1);
    const texts = all.filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()));
    const faint = texts.map(e => {
        const style = view.getComputedStyle(e), drawn = e.closest('svg');
        return [contrast(numbers(drawn ? style.fill : style.color), behind(e, view)), e];
    }).filter(([ratio, e]) => !(ratio >= (e.closest('svg') ? 3 : 4.5)));
    const name = e => `${e.tagName} ${e.getAttribute('class') || ''}`;
    return {
        width: frame.offsetWidth, scheme: view.matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light',
        paper: luminance(behind(page.body, view)), sections: page.querySelectorAll('section[id]').length,
        texts: texts.length, figures: page.querySelectorAll('svg').length, beyond: root.scrollWidth - width,
        wide: wide.map(name), faint: faint.map(([ratio, e]) => `${name(e)} ${ratio.toFixed(2)} ${e.textContent.slice(0, 40)}`),
    };
}

function openAll(source, windows) {
    const frames = windows.map(([width, dark]) => {
        const frame = document.createElement('iframe');
        frame.style.cssText = `width: ${width}px; height: 900px; border: 0; color-scheme: ${dark ? 'dark' : 'light'}`;
        frame.srcdoc = source;
        document.body.append(frame);
        return new Promise(done => { frame.onload = () => done(look(frame)); });
    });
    Promise.all(frames).then(found => { document.body.dataset.found = JSON.stringify(found); });
}
