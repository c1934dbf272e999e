"""The approved templates of the sandbox's WhatsApp account: plain data, change it freely.

Each body is written once per language and offered under every locale of that language.
"""

from typing import Any

LOCALES = {
    "en": ("en", "en_US", "en_GB"),
    "pt": ("pt_PT", "pt_BR"),
    "es": ("es", "es_ES", "es_MX"),
    "fr": ("fr", "fr_FR"),
    "de": ("de", "de_DE"),
    "it": ("it", "it_IT"),
    "nl": ("nl", "nl_NL"),
}

BODIES: dict[str, tuple[str, dict[str, str]]] = {
    "spring_offer": (
        "MARKETING",
        {
            "en": "Hi {{1}}, spring is here: take 20 % off with the code {{2}}. Reply STOP to opt out.",
            "pt": "Olá {{1}}, a primavera chegou: 20 % de desconto com o código {{2}}. Responda STOP para sair.",
            "es": "Hola {{1}}, llegó la primavera: 20 % de descuento con el código {{2}}. Responde STOP para salir.",
            "fr": "Bonjour {{1}}, le printemps est là : -20 % avec le code {{2}}. Répondez STOP pour vous désinscrire.",
            "de": "Hallo {{1}}, der Frühling ist da: 20 % Rabatt mit dem Code {{2}}. Mit STOP abmelden.",
            "it": "Ciao {{1}}, è primavera: 20 % di sconto con il codice {{2}}. Rispondi STOP per cancellarti.",
            "nl": "Hoi {{1}}, het is lente: 20 % korting met code {{2}}. Antwoord STOP om af te melden.",
        },
    ),
    "spring_reminder": (
        "MARKETING",
        {
            "en": "{{1}}, your spring code {{2}} is still waiting for you.",
            "pt": "{{1}}, o seu código {{2}} ainda está à sua espera.",
            "es": "{{1}}, tu código {{2}} todavía te espera.",
            "fr": "{{1}}, votre code {{2}} vous attend toujours.",
            "de": "{{1}}, dein Code {{2}} wartet noch auf dich.",
            "it": "{{1}}, il tuo codice {{2}} ti aspetta ancora.",
            "nl": "{{1}}, je code {{2}} ligt nog voor je klaar.",
        },
    ),
    "spring_last_call": (
        "MARKETING",
        {
            "en": "Last call, {{1}}: the code {{2}} ends tonight.",
            "pt": "Última oportunidade, {{1}}: o código {{2}} termina hoje à noite.",
            "es": "Última oportunidad, {{1}}: el código {{2}} termina esta noche.",
            "fr": "Dernière chance, {{1}} : le code {{2}} expire ce soir.",
            "de": "Letzte Chance, {{1}}: der Code {{2}} endet heute Abend.",
            "it": "Ultima occasione, {{1}}: il codice {{2}} scade stasera.",
            "nl": "Laatste kans, {{1}}: code {{2}} verloopt vanavond.",
        },
    ),
    "welcome": (
        "MARKETING",
        {
            "en": "Welcome {{1}}! Your code is {{2}}.",
            "pt": "Bem-vindo, {{1}}! O seu código é {{2}}.",
            "es": "¡Te damos la bienvenida, {{1}}! Tu código es {{2}}.",
            "fr": "Bienvenue {{1}} ! Votre code est {{2}}.",
            "de": "Willkommen {{1}}! Dein Code ist {{2}}.",
            "it": "Ti diamo il benvenuto, {{1}}! Il tuo codice è {{2}}.",
            "nl": "Welkom {{1}}! Je code is {{2}}.",
        },
    ),
    "hello_world": ("UTILITY", {"en": "Welcome and congratulations! This message shows that your account can send."}),
}


def demo_templates() -> list[dict[str, Any]]:
    """Every template in every locale, as the provider lists them."""
    return [
        {
            "name": name,
            "language": locale,
            "status": "APPROVED",
            "category": category,
            "components": [{"type": "BODY", "text": text}],
        }
        for name, (category, bodies) in BODIES.items()
        for language, text in bodies.items()
        for locale in LOCALES[language]
    ]
