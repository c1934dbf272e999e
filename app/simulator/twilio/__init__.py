"""Twilio's Messages resource."""
