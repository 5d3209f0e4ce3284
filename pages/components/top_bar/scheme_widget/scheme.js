// Streamlit sets the colour scheme on its app alone. Its popovers are drawn beside the app, where
// light-dark() would choose the light colours in both themes.

const followed = new WeakSet()

export default function () {
  const app = document.querySelector(".stApp")
  if (followed.has(app)) return
  followed.add(app)
  const follow = () => {
    document.documentElement.style.colorScheme = getComputedStyle(app).colorScheme
  }
  new MutationObserver(follow).observe(app, { attributes: true, attributeFilter: ["class"] })
  follow()
}
