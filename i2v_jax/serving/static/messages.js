// The line below the picture, which says what goes on and what failed.

const line = document.getElementById("message");

export function say(words, error = false) {
  line.textContent = words.charAt(0).toUpperCase() + words.slice(1);
  line.classList.toggle("error", error);
}

// Returns a function that does the same work and says what failed.
export function attempt(work) {
  return async (...values) => {
    try {
      return await work(...values);
    } catch (error) {
      return say(error.message, true);
    }
  };
}
