export function count(text) {
    const counts = new Map();
    for (const word of text.split(/\s+/).filter(Boolean)) {
        counts.set(word, (counts.get(word) ?? 0) + 1);
    }
    return [...counts].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1));
}

export function greet(name) {
    if (name === "") {
        throw "a greeting needs a name";
    }
    return `Hello, ${name}!`;
}

export async function status(url) {
    try {
        const response = await fetch(url);
        return response.status;
    } catch (error) {
        throw `cannot reach ${url}: ${error.message}`;
    }
}
